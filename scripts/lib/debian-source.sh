# Fetches the source of a Debian package; for scripts/fetch-*, which say `fail` for what cannot be done.
#
# debian_source PACKAGE VERSION SUITE [APT-GET OPTION...] < "SHA256  FILE" lines
#   The tarballs lie in $work, a new directory below $out that goes when the script ends. apt-get checks Debian's signature; each file of
#   the lines must be there and have that checksum.
debian_source() {
	local package=$1 version=$2 suite=$3 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror private
	shift 3
	mkdir -p "$out"
	work=$(mktemp -d "$PWD/$out/fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$work/lists/partial" "$work/archives/partial"
	touch "$work/status"
	# The mirror that this system's apt-get uses, with a list of sources of its own: nothing of the system's is changed.
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' | awk '$1 $2 == "DebianDebian" { print $3; exit }' || true)
	echo "deb-src [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} $suite main" >"$work/sources.list"
	private=(-q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$work"
		-o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work" -o APT::Sandbox::User=root)
	echo "${0##*/}: fetching the source of $package $version from Debian" >&2
	{
		apt-get "${private[@]}" update &&
			(cd "$work" && apt-get "${private[@]}" --only-source --download-only "$@" source "$package=$version")
	} >"$work/log" 2>&1 || { tail -5 "$work/log" >&2; fail "apt-get could not fetch $package $version"; }
	(cd "$work" && sha256sum --check --quiet >&2) || fail "the source of $package $version is not the one that was pinned"
}
