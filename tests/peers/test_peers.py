"""Test suites of other libraries pass with the runtime's classes; see the package's docstring."""

import pytest

from .expected import EXPECTED
from .suites import SUITES


@pytest.mark.network
@pytest.mark.server
@pytest.mark.parametrize("suite", SUITES)
def test_all_pass_with_the_librarys_classes(suite, runs):
    outcomes = runs[suite, False].result()
    assert not outcomes.failed, outcomes.output
    assert outcomes.counts["passed"], outcomes.output


@pytest.mark.network
@pytest.mark.server
@pytest.mark.parametrize("suite", SUITES)
def test_only_expected_tests_fail_with_the_runtimes_classes(suite, runs):
    outcomes, expected = runs[suite, True].result(), EXPECTED[suite]
    new = {test: error for test, error in outcomes.failed.items() if test not in expected}
    assert not new, outcomes.output + "".join(f'\n    "{test}": "{new[test]}",' for test in new)
    assert outcomes.failed.keys() == expected.keys(), "these pass; remove them from expected.py"
