#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deb.sh BIN OUT    packs the programs of the folder BIN as OUT/taffrail_VERSION_ARCH.deb, for single machines
#
# Without root, and the same bytes for the same programs: of the commit's time, or SOURCE_DATE_EPOCH's.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

[ $# = 2 ] || die "usage: deb.sh BIN OUT"
bin=$1 out=$2 source=deploy/debian programs=(taffrail taffrail-sensor taffrail-collector)
version=$(sed -n 's/.*TAFFRAIL_VERSION "\(.*\)".*/\1/p' user/base/version.h)
arch=$(dpkg --print-architecture)
: "${SOURCE_DATE_EPOCH:=$(git -c safe.directory='*' log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH LC_ALL=C
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root doc=$work/root/usr/share/doc/taffrail

# put MODE FILE TARGET: a file into the package, with its folders
put() { install -D -m "$1" "$2" "$root/$3"; }

# The pages are what --help says: one text, that cannot differ from itself.
manual() { # PROGRAM SECTION
	local help title
	help=$("$bin/$1" --help)
	title=${help%%$'\n'*}
	{
		echo ".TH ${1^^} $2 \"$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)\" \"taffrail $version\" \"Taffrail\""
		printf '.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n' "$1" "${title#* - }"
		tail -n +3 <<<"$help" | sed 's/\\/\\e/g; s/-/\\-/g; s/^[.'"'"']/\\\&&/'
		printf '.fi\n.SH FILES\n/etc/taffrail/sensor.yaml, /etc/taffrail/collector.yaml, /usr/share/doc/taffrail/README.md.gz\n'
		printf '.SH SEE ALSO\ntaffrail(1), taffrail\\-sensor(8), taffrail\\-collector(8)\n'
	} >"$work/page"
	put 644 "$work/page" "usr/share/man/man$2/$1.$2"
}

for program in "${programs[@]}"; do
	put 755 "$bin/$program" "usr/bin/$program"
	strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/$program"
done
manual taffrail 1
manual taffrail-sensor 8
manual taffrail-collector 8
for unit in deploy/systemd/*.service; do put 644 "$unit" "lib/systemd/system/${unit##*/}"; done
put 644 $source/sysusers.conf usr/lib/sysusers.d/taffrail.conf
put 644 $source/sensor.yaml etc/taffrail/sensor.yaml
put 644 $source/collector.yaml etc/taffrail/collector.yaml
put 644 README.md usr/share/doc/taffrail/README.md
for page in docs/*.md; do put 644 "$page" "usr/share/doc/taffrail/${page##*/}"; done
put 755 scripts/make-test-ca usr/share/doc/taffrail/examples/make-test-ca
{
	printf 'Taffrail\n\nCopyright %s the Taffrail authors\n\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y)"
	printf 'License: Apache-2.0. On Debian systems its text is in /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"
{
	printf 'taffrail (%s) unstable; urgency=medium\n\n  * Version %s.\n\n' "$version" "$version"
	echo " -- $(sed -n 's/^Maintainer: //p' $source/control)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >"$doc/changelog"
find "$root/usr/share/man" "$doc" -type f \( -path '*/man/*' -o -name changelog -o -size +3k -name '*.md' \) -exec gzip -9n {} +

# dpkg-shlibdeps wants a source's folder.
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: taffrail\n\nPackage: taffrail\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O "${programs[@]/#/root/usr/bin/}" | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || die "dpkg-shlibdeps does not say which packages the programs need"
size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
sed "s|@VERSION@|$version|; s|@ARCH@|$arch|; s|@SIZE@|$size|; s|@SHLIBS@|$libraries|" $source/control >"$root/DEBIAN/control"
(cd "$root" && find etc -type f | sort | sed 's,^,/,') >"$root/DEBIAN/conffiles"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
for script in postinst prerm postrm; do install -m 755 "$source/$script" "$root/DEBIAN/$script"; done

mkdir -p "$out"
package=$out/taffrail_${version}_$arch.deb
dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$root" "$package" >/dev/null
echo "$package $(stat -c %s "$package") bytes"
