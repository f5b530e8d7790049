# What every script shares: messages, packages, the toolchain, the release binary, counted steps. Sourced, never run.
# shellcheck shell=sh

set -eu

repo=$(cd "$(dirname "$0")/.." && pwd)
cd "$repo"

say() { printf '%s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "$1 changes namespaces, mounts and cgroups: run it as root (sudo scripts/$1)"
}

# packages NAME...: installs those that are missing; on a distribution without apt it names what is needed.
packages() {
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "This is not Debian or Ubuntu: the equivalents of these packages must be installed: $*"
		return
	fi
	missing=
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "these packages are missing:$missing"
	say "installing:$missing"
	apt-get update -qq
	# policy-rc.d: the packages bring programs, not services that should start on this machine (nginx would take port 80).
	policy=/usr/sbin/policy-rc.d
	ours=
	if [ ! -e "$policy" ]; then
		ours=yes
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	rc=0
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 || rc=$?
	[ -z "$ours" ] || rm -f "$policy"
	[ "$rc" = 0 ] || die "cannot install:$missing"
}

# test_packages: what the tests need of the distribution.
test_packages() {
	packages runc containerd busybox-static nginx-light docker-registry skopeo umoci buildah jq gcc libc6-dev util-linux \
		ca-certificates openssl python3-grpcio nftables iptables iproute2 containernetworking-plugins e2fsprogs perl-base \
		bsdutils strace
}

# The oldest compiler that Cargo.toml accepts, `1.95`.
msrv() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

# at_least HAVE WANT: compares dotted versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

cargo_version() { cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p'; }

# Under sudo the toolchain is usually the caller's. Its compilers are used; what is downloaded goes to root's own cargo home,
# so that nothing in the caller's becomes root's.
find_cargo() {
	command -v cargo >/dev/null && return
	for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
		if [ -x "$home/.cargo/bin/cargo" ]; then
			PATH=$home/.cargo/bin:$PATH
			[ ! -d "$home/.rustup" ] || export RUSTUP_HOME="${RUSTUP_HOME:-$home/.rustup}"
			export PATH
			return
		fi
	done
	return 1
}

install_cargo() {
	want=$(msrv)
	command -v apt-cache >/dev/null || die "no cargo: install Rust $want or newer with rustup"
	[ "$(id -u)" = 0 ] || die "no cargo: install Rust $want or newer with rustup"
	apt-get update -qq
	for package in cargo $(apt-cache pkgnames cargo- | grep -E '^cargo-[0-9.]+$' | sort -rV); do
		have=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: \(.*:\)\{0,1\}\([0-9.]*\).*/\2/p')
		if [ -n "$have" ] && at_least "$have" "$want"; then
			suffix=${package#cargo}
			packages "$package" "rustc$suffix"
			# rustfmt and clippy have these names where there is one version, and come with the versioned ones.
			[ -n "$suffix" ] || packages rustfmt rust-clippy
			[ -z "$suffix" ] || PATH=/usr/lib/rust${suffix}/bin:$PATH
			export PATH
			return
		fi
	done
	if [ -n "$(apt-cache policy rustup | grep -E 'Candidate: [0-9]' || true)" ]; then
		packages rustup
		rustup toolchain install stable --profile minimal -c rustfmt -c clippy >&2
		return
	fi
	die "the distribution has neither Rust $want nor rustup: install it from the rustup project's page and run this again"
}

# toolchain: a cargo that is new enough, and the target of the release: static musl where its standard library can be had.
# Sets TARGET_ARGS and PODSHIM_BIN.
toolchain() {
	find_cargo || install_cargo
	have=$(cargo_version)
	at_least "${have:-0}" "$(msrv)" || die "cargo is ${have:-unusable}, at least $(msrv) is needed (rustup update)"
	target_dir=${CARGO_TARGET_DIR:-$repo/target}
	musl=$(uname -m)-unknown-linux-musl
	if ! has_target "$musl" && command -v rustup >/dev/null; then
		rustup target add "$musl" >&2 || true
	fi
	if has_target "$musl"; then
		# The C of the TLS library.
		packages musl-tools
		TARGET_ARGS="--target $musl"
		# At a fixed address: a program that may lie anywhere writes to 220 KiB of pointers whenever it starts, and two processes
		# of each pod stay. Stack, heap and mappings are placed at random all the same.
		export "CARGO_TARGET_$(echo "$musl" | tr a-z- A-Z_)_RUSTFLAGS=-C relocation-model=static"
		PODSHIM_BIN=$target_dir/$musl/release/podshim
		say "building for $musl: one static file"
	else
		TARGET_ARGS=
		PODSHIM_BIN=$target_dir/release/podshim
		say "building for the host: no standard library for $musl"
	fi
	export PODSHIM_BIN
}

has_target() {
	libdir=$(rustc --print target-libdir --target "$1" 2>/dev/null) && [ -d "$libdir" ]
}

# release: builds the release binary, PODSHIM_BIN.
release() {
	toolchain
	# shellcheck disable=SC2086
	cargo build --release --locked --bin podshim $TARGET_ARGS >&2
	hand_back
	[ -x "$PODSHIM_BIN" ] || die "cargo said yes, but there is no $PODSHIM_BIN"
}

# What root built in somebody's repository is theirs to delete.
hand_back() {
	[ "$(id -u)" != 0 ] || [ ! -d target ] || chown -R --reference="$repo" target
}

# Measuring ----------------------------------------------------------------------------------------------------------------

# memory_dir: makes a directory in memory, where machines have what lasts as long as they run. Not every container has its /run there.
memory_dir() {
	for place in /run /dev/shm; do
		[ "$(stat -f -c %T "$place")" != tmpfs ] || break
	done
	mktemp -d "$place/podshim-bench.XXXXXX"
}

now_us() { echo $(($(date +%s%N) / 1000)); }

# timed FILE COMMAND...: how long it takes, in microseconds, appended to the file.
timed() {
	file=$1
	shift
	begin=$(now_us)
	"$@"
	echo $(($(now_us) - begin)) >>"$file"
}

# median FILE: of the numbers in its lines.
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Counted steps -------------------------------------------------------------------------------------------------------------

passed=0
failed=0

# step NAME COMMAND...: one thing that holds or does not.
step() {
	name=$1
	shift
	say "== $name"
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		say "FAILED: $name"
	fi
}

# cargo_tests ARGS...: every test counts; an ignored one counts as failed, and so does a build that failed.
cargo_tests() {
	say "== cargo test $*"
	log=$(mktemp)
	{ cargo test --locked --no-fail-fast "$@" 2>&1 || echo "cargo test: failed"; } | tee "$log" >&2
	# shellcheck disable=SC2046
	set -- $(awk '
		/^test result: / { passed += $4; failed += $6 + $8; seen = 1 }
		/^cargo test: failed$/ { broken = 1 }
		END { if (!seen || (broken && !failed)) failed += 1; print passed + 0, failed + 0 }' "$log")
	rm -f "$log"
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# checks: what holds for every commit. Without root, the tests that need it are left out, and that is said.
checks() {
	step "format" cargo fmt --check
	step "lints" cargo clippy --locked --all-targets -- -D warnings
	step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	if [ "$(id -u)" = 0 ]; then
		cargo_tests
	else
		say "not root: the end-to-end tests are left out (sudo scripts/test runs them)"
		cargo_tests -- --skip e2e::
	fi
}

# verdict: the last line, and the exit status.
verdict() {
	hand_back
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}
