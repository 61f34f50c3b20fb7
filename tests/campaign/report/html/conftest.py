"""Fixtures of the tests of the report page."""

import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.html.report_page import read_report, report_page
from tests.campaign import alloys
from tests.campaign.standin import GP, Box


@pytest.fixture(scope="session")
def page(_once):
    """The report of a campaign that minimizes the energy."""
    return report_page(read_report(Log(_once, Box(), GP())))


@pytest.fixture(scope="session")
def screened_page(_alloys):
    """The report of a campaign with objectives, a failure and an absurd value."""
    return report_page(read_report(alloys.campaign().read(_alloys)))
