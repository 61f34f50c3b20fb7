from bostruct.campaign.report.html import methods_text
from bostruct.campaign.report.html.literature import LITERATURE


def test_every_key_that_is_cited_exists():
    tables = (
        methods_text.ACQUISITIONS,
        methods_text.SURROGATES,
        methods_text.SEARCHES,
        methods_text.CALCULATORS,
    )
    cited = {key for table in tables for _, keys in table.values() for key in keys}
    assert cited <= set(LITERATURE)


def test_links_are_addresses_and_unique():
    links = [citation.link for citation in LITERATURE.values() if citation.link]
    assert all(link.startswith("https://") for link in links)
    assert len(set(links)) == len(links)
