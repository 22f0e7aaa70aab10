"""The tests that fail with the runtime's classes, by suite, each with a reason.

A defect is not a reason; fix it. `make peers` prints the IDs of unlisted failures and of listed
tests that pass.
"""

# Django: none of these is an observable difference.
CLIENT = "White box: the private client is the runtime's class, which has persistent connections."
SERIALIZER = "White box: the private serializer signs values, and needs the key for that."

# DRF
LATE = "A slot returns up to 5 % of the period late: the cost of an exact limit in O(1) memory."
ONCE = f"{LATE} And a denied request does not count in the view's other throttles."
NO_REQUEST = "Passes a dict as the request; it has neither a user nor an address."
HISTORY = "White box: sets the list of past requests, which does not exist; setting it raises."
NO_RATE = "A rate is looked up at each request; the check throttling.E001 finds a missing one."

# cacheops
LOCK = "White box: clients poll a lock, and do not use the calls that the test intercepts."
COARSE = "More is invalidated: a write to a relation's table invalidates all rows of the table."
DELETED = "More is invalidated: a deleted row can differ from the instance."
COMBINED = "More is invalidated: combined queries depend on all rows of their tables."
NOT_STALE = "Expected to fail by cacheops, but passes: a deletion's SET_NULL invalidates here."
PICKLE = "CACHEOPS_SERIALIZER is the runtime's: results are always signed pickles."
ON_SAVE = "cache_on_save stores nothing: the object can differ from the saved row."

# python-json-logger
FORMAT = "Rejected: a line has the fields of docs/logging.md; a format cannot select them."
OPTION = "Rejected; the error names the hook to override instead."
RENAMED = "Rejected: the field is not named exc_info here."
TEXT = "Bytes are logged as readable text, not as base64."
REPR = "Classes and tracebacks are logged as str() returns them."
BROKEN = "If str() of an object fails, its class and the error are logged."
UTF8 = "Lines are UTF-8; non-ASCII letters are not escaped."

SIMPLE = "SimpleRateThrottleTests"
CACHEOPS = {
    "tests/test_extras.py::LockingTests::test_lock": LOCK,
    "tests/tests.py::BasicTests::test_union": COMBINED,
    "tests/tests.py::IssueTests::test_45": ON_SAVE,
    "tests/tests.py::IssueTests::test_159": COARSE,
    "tests/tests.py::IssueTests::test_348": NOT_STALE,
    "tests/tests.py::IssueTests::test_385": PICKLE,
    "tests/tests.py::M2MTests::test_granular_through_on_clear": COARSE,
    "tests/tests.py::MultiTableInheritanceWithM2MTest::test_granular_through_on_clear": COARSE,
    "tests/tests.py::M2MThroughTests::test_granular_through_on_clear": DELETED,
}

EXPECTED: dict[str, dict[str, str]] = {
    "Django cache and sessions": {
        f"cache.tests.RedisCacheTests.{test}": reason
        for test, reason in {
            "test_cache_client_class": CLIENT,
            "test_incr_write_connection": CLIENT,
            "test_serializer_dumps": SERIALIZER,
        }.items()
    },
    "DRF throttling": {
        f"tests/test_throttling.py::{test}": reason
        for test, reason in {
            "ThrottlingTests::test_minutes_fields": LATE,
            "ThrottlingTests::test_seconds_fields": LATE,
            "ThrottlingTests::test_next_rate_remains_constant_if_followed": LATE,
            "ThrottlingTests::test_request_throttling_expires": LATE,
            "ThrottlingTests::test_request_throttling_multiple_throttles": ONCE,
            "ThrottlingTests::test_throttle_rate_change_negative": ONCE,
            "ScopedRateThrottleTests::test_scoped_rate_throttle": LATE,
            f"{SIMPLE}::test_allow_request_returns_true_if_rate_is_none": NO_REQUEST,
            f"{SIMPLE}::test_get_cache_key_raises_not_implemented_error": NO_REQUEST,
            f"{SIMPLE}::test_throttle_raises_error_if_rate_is_missing": NO_RATE,
            f"{SIMPLE}::test_wait_returns_correct_waiting_time_without_history": HISTORY,
            f"{SIMPLE}::test_wait_returns_none_if_there_are_no_available_requests": HISTORY,
        }.items()
    },
    "cacheops on SQLite": CACHEOPS,
    "cacheops on PostgreSQL": CACHEOPS,
    "python-json-logger": {
        **{
            f"tests/test_formatters.py::test_{test}[JsonFormatter]": reason
            for test, reason in {
                "percentage_format": FORMAT,
                "string_template_format": FORMAT,
                "comma_format": FORMAT,
                "sequence_list_format": FORMAT,
                "sequence_tuple_format": FORMAT,
                "format_keys": FORMAT,
                "unknown_format_key": FORMAT,
                "rename_preserve_order": FORMAT,
                "rename_once": FORMAT,
                "exc_info_renamed": FORMAT,
                "exc_info_renamed_not_required": RENAMED,
                "exc_info_renamed_no_error": RENAMED,
                "rename_keep_missing": OPTION,
                "rename_reserved_attrs": OPTION,
                "default_encoder_with_timestamp": OPTION,
                "custom_object_serialization": OPTION,
                "custom_default": OPTION,
            }.items()
        },
        **{
            f"tests/test_formatters.py::test_common_types_encoded[{value}-JsonFormatter]": reason
            for value, reason in {
                "some-bytes-str-c29tZS1ieXRlcw==": TEXT,
                r"fancy-bytes-\xf0\xf1-str-ZmFuY3ktYnl0ZXMt8PE=": TEXT,
                "MultiEnum.BYTES-str-c29tZS1ieXRlcw==": TEXT,
                "MultiEnum-list-expected28": REPR,
                "Exception-str-Exception": REPR,
                "BaseException-str-BaseException": REPR,
                "SomeDataclass-str-SomeDataclass": REPR,
                "SomeClass-str-SomeClass": REPR,
                "obj17-str-expected17": REPR,
                "obj22-str-__could_not_encode__": BROKEN,
            }.items()
        },
        "tests/test_formatters.py::test_json_ensure_ascii_true": UTF8,
        "tests/test_formatters.py::test_json_ensure_ascii_false": OPTION,
        "tests/test_dictconfig.py::test_external_reference_support": OPTION,
    },
}
