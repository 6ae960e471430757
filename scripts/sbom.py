# SPDX-License-Identifier: Apache-2.0
"""A bill of materials as SPDX 2.3 JSON, of what dpkg knows. The same inputs give the same bytes."""
import hashlib
import json
import re
import urllib.parse
import uuid

from dpkg_data import stanzas

# Debian's short names that are other ones with SPDX. What stands in neither list is a LicenseRef: the words are in the image.
SPDX = {
    "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0-Perl", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "curl": "curl", "expat": "MIT", "fsful": "FSFUL", "fsfullr": "FSFULLR", "gfdl-niv-1.3": "GFDL-1.3-no-invariants-only",
    "gfdl-niv-1.3+": "GFDL-1.3-no-invariants-or-later", "isc": "ISC", "mit": "MIT", "x11": "X11", "zlib": "Zlib",
    **{f"{name}-{number}{plus}".lower(): f"{name}-{number if '.' in number else number + '.0'}-{'or-later' if plus else 'only'}"
       for name, numbers in (("GPL", ("1", "2", "2.0", "3", "3.0")), ("LGPL", ("2", "2.0", "2.1", "3", "3.0")))
       for number in numbers for plus in ("", "+")},
}


def licence(name, package, references):
    """One of Debian's names as SPDX says it; what SPDX has no name for is noted in references."""
    known = SPDX.get(name.lower())
    if known:
        return known
    identifier = f"LicenseRef-{package}-" + (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-") or "unnamed")
    references[identifier] = {"licenseId": identifier, "name": name,
                              "extractedText": f"See {name} in /usr/share/doc/{package}/copyright in the image."}
    return identifier


def declared(text, package, references):
    """The licences that a machine-readable copyright file (DEP 5) names for the sources, as one expression."""
    paragraphs = list(stanzas(text.decode(errors="replace")))
    if not paragraphs or "Format" not in paragraphs[0]:
        return "NOASSERTION"
    terms = set()
    for fields in paragraphs:
        if fields.get("License") and "Files" in fields and fields["Files"] != "debian/*":
            words = fields["License"].splitlines()[0]
            # "A or B, and C": the comma binds less than the words do.
            for group in re.split(r",\s+and\s+|,\s+", words):
                either = [" AND ".join(licence(name.strip(), package, references) for name in re.split(r"\s+and\s+", part))
                          for part in re.split(r"\s+or\s+", group)]
                either = [f"({part})" if " AND " in part and len(either) > 1 else part for part in either]
                terms.add(f"({' OR '.join(either)})" if len(either) > 1 else either[0])
    return " AND ".join(sorted(terms)) or "NOASSERTION"


def identifier(name):
    return "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def debian_package(packages, name, release, references):
    fields = packages[name]
    source, source_version = packages.source(name)
    version, arch = fields["Version"], fields["Architecture"]
    url = f"pkg:deb/debian/{name}@{urllib.parse.quote(version, safe='.~-')}?arch={arch}&distro=debian-{release}"
    return {
        "SPDXID": identifier(name), "name": name, "versionInfo": version, "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "sourceInfo": f"built from Debian's source package {source} {source_version}",
        "licenseConcluded": "NOASSERTION", "licenseDeclared": declared(packages.copyright(name), name, references),
        "copyrightText": "NOASSERTION", "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}],
    }


def own_program(name, version, commit, data):
    return {
        "SPDXID": identifier(name), "name": name, "versionInfo": version, "supplier": "Organization: Taffrail",
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "sourceInfo": f"commit {commit}", "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}],
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:generic/{name}@{version}"}],
    }


def document(subject, programs, libraries, created, references):
    """subject: the image's own package; programs and libraries: packages as above. The document as bytes."""
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", subject["SPDXID"])]
    relations += [(subject["SPDXID"], "CONTAINS", each["SPDXID"]) for each in programs + libraries]
    content = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": subject["name"],
        "creationInfo": {"created": created, "creators": ["Organization: Taffrail", "Tool: scripts/images.py"]},
        "packages": [subject, *programs, *libraries],
        "relationships": [dict(zip(("spdxElementId", "relationshipType", "relatedSpdxElement"), each)) for each in relations],
    }
    if references:
        content["hasExtractedLicensingInfos"] = [references[key] for key in sorted(references)]
    # A name for the document that no other content has.
    digest = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    content["documentNamespace"] = f"https://spdx.org/spdxdocs/{re.sub(r'[^A-Za-z0-9.]+', '-', subject['name'])}-{digest}"
    return (json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()
