"""Django's test runner with a record of the outcomes."""

import outcomes
from django.test.runner import DiscoverRunner


class Runner(DiscoverRunner):
    """Run tests like Django, and record the outcomes."""

    def run_suite(self, suite, **kwargs):
        result = super().run_suite(suite, **kwargs)
        failed = {
            getattr(test, "test_case", test).id(): traceback.splitlines()[-1]
            for test, traceback in [*result.failures, *result.errors]
        }
        failed |= {test.id(): "Unexpected success" for test in result.unexpectedSuccesses}
        counts = {"skipped": len(result.skipped), "xfailed": len(result.expectedFailures)}
        counts["passed"] = result.testsRun - len(failed) - sum(counts.values())
        outcomes.write(counts, failed)
        return result
