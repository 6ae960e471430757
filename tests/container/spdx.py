# SPDX-License-Identifier: Apache-2.0
"""What SPDX 2.3 asks of a document in JSON, as far as ours has it: clauses 6 to 11 and annex D."""
import re

IDENTIFIER = r"SPDXRef-[A-Za-z0-9.-]+"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
# Those of SPDX's list that Debian's short names stand for.
LICENCES = set("""Apache-2.0 Artistic-1.0-Perl BSD-2-Clause BSD-3-Clause curl FSFUL FSFULLR GFDL-1.3-no-invariants-only
    GFDL-1.3-no-invariants-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC
    LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later MIT X11 Zlib""".split())


def matches(pattern, text):
    assert isinstance(text, str) and re.fullmatch(pattern, text), (pattern, text)


def expression(text, own):
    """NONE, NOASSERTION, or identifiers with AND, OR and brackets; how many LicenseRefs are not among the document's own."""
    if text in ("NONE", "NOASSERTION"):
        return
    words = re.findall(r"[()]|[^\s()]+", text)
    depth, wants_name = 0, True
    for word in words:
        if word == "(":
            assert wants_name, text
            depth += 1
        elif word == ")":
            depth -= 1
            assert not wants_name and depth >= 0, text
        elif word in ("AND", "OR"):
            assert not wants_name, text
            wants_name = True
        else:
            assert wants_name and (word in LICENCES or word in own), f"{word} in {text}"
            wants_name = False
    assert depth == 0 and not wants_name, text


def validate(document):
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0" and document["SPDXID"] == "SPDXRef-DOCUMENT"
    assert document["name"]
    matches(r"https?://[^\s#]+", document["documentNamespace"])
    matches(TIME, document["creationInfo"]["created"])
    assert document["creationInfo"]["creators"]
    for creator in document["creationInfo"]["creators"]:
        matches(r"(Tool|Person|Organization): \S.*", creator)
    own = set()
    for one in document.get("hasExtractedLicensingInfos", []):
        matches(r"LicenseRef-[A-Za-z0-9.-]+", one["licenseId"])
        assert one["extractedText"] and one["name"] and one["licenseId"] not in own
        own.add(one["licenseId"])
    known = {"SPDXRef-DOCUMENT"}
    for package in document["packages"]:
        matches(IDENTIFIER, package["SPDXID"])
        assert package["SPDXID"] not in known, package["SPDXID"]
        known.add(package["SPDXID"])
        assert package["name"] and package["versionInfo"] and package["downloadLocation"] and package["filesAnalyzed"] is False
        assert "packageVerificationCode" not in package, "only of files that were analyzed"
        matches(r"(Person|Organization): \S.*|NOASSERTION", package["supplier"])
        for key in ("licenseConcluded", "licenseDeclared"):
            expression(package[key], own)
        for checksum in package.get("checksums", []):
            assert checksum["algorithm"] == "SHA256"
            matches(r"[0-9a-f]{64}", checksum["checksumValue"])
        for reference in package["externalRefs"]:
            assert reference["referenceCategory"] == "PACKAGE-MANAGER" and reference["referenceType"] == "purl"
            matches(r"pkg:[a-z]+/[^\s]+", reference["referenceLocator"])
    described = 0
    for relation in document["relationships"]:
        assert relation["spdxElementId"] in known and relation["relatedSpdxElement"] in known, relation
        assert relation["relationshipType"] in ("DESCRIBES", "CONTAINS")
        described += relation["relationshipType"] == "DESCRIBES"
    assert described == 1
    used = " ".join(package["licenseDeclared"] for package in document["packages"])
    assert all(re.search(rf"(?<![\w.-]){re.escape(one)}(?![\w.-])", used) for one in own), "an own licence that no package has"
