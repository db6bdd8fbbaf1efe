"""What a page of HTML consists of, for tests that it is whole."""

from html.parser import HTMLParser

VOID = {"meta", "img", "input", "br", "path", "rect", "use"}


class Outline(HTMLParser):
    """Collects ids, links and addresses, and fails on tags that do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.targets, self.images = [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.targets += [attributes[key] for key in ("href", "src", "xlink:href") if key in attributes]
        if tag == "img":
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open and self.open.pop() == tag


def assert_whole(text: str) -> Outline:
    """Tags nest, links lead somewhere, pictures have sizes and words, and nothing is fetched from elsewhere."""
    page = Outline()
    page.feed(text)
    assert not page.open
    for target in page.targets:
        assert target.startswith(("data:image/jpeg;base64,", "data:video/mp4;base64,", "#")), target[:80]
    assert "@import" not in text and "url(h" not in text
    links = [target[1:] for target in page.targets if target.startswith("#")]
    assert set(links) <= set(page.ids)
    assert all(image["alt"] and image["width"] and image["height"] for image in page.images)
    return page
