# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts share; sourced, in the checkout's folder.

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# Runs a command as the checkout's owner, so that `sudo make …` leaves no files of root between a person's own.
as_owner() {
	local owner
	owner=$(stat -c %u .)
	if [ "$(id -u)" != 0 ] || [ "$owner" = 0 ]; then
		"$@"
		return
	fi
	local groups=--clear-groups home
	home=$(getent passwd "$owner" | cut -d: -f6) && groups=--init-groups
	setpriv --reuid "$owner" --regid "$(stat -c %g .)" $groups env HOME="${home:-/}" "$@"
}

# Gives what root wrote below the given folders back to the checkout's owner.
hand_back() {
	if [ "$(id -u)" = 0 ] && [ "$(stat -c %u .)" != 0 ]; then
		chown -R --no-dereference "$(stat -c %u:%g .)" "$@"
	fi
}
