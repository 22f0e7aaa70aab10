"""The service's settings with views of 1 to 8 scopes, which bench/growth.py measures."""

import cache_service

globals().update({name: value for name, value in vars(cache_service).items() if name.isupper()})

SCOPES = [f"scope_{number}" for number in range(8)]
ROOT_URLCONF = "growth_urls"
REST_FRAMEWORK = {
    **globals()["REST_FRAMEWORK"],
    "DEFAULT_THROTTLE_RATES": {
        **globals()["REST_FRAMEWORK"]["DEFAULT_THROTTLE_RATES"],
        **dict.fromkeys(SCOPES, "1000000/hour"),
    },
}
