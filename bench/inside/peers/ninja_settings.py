"""The stock settings with the URLs of django-ninja."""

import settings

globals().update({name: value for name, value in vars(settings).items() if name.isupper()})

ROOT_URLCONF = "ninja_urls"
NINJA_NUM_PROXIES = 1
INSTALLED_APPS = [
    name
    for name in globals()["INSTALLED_APPS"]
    if name not in {"cacheops", "rest_framework", "blog"}
]
