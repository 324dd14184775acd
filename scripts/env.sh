# Shared settings of the scripts; to be sourced. One target folder outside the checkout, so that a fresh clone reuses what was
# compiled before, and a compiler cache where there is one, so that DuckDB is compiled once for all profiles.
: "${CARGO_TARGET_DIR:=${XDG_CACHE_HOME:-$HOME/.cache}/thalweg/target}"
export CARGO_TARGET_DIR
if [ -z "${CXX:-}" ] && command -v ccache >/dev/null 2>&1; then
  export CXX="ccache g++" CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-5G}"
fi
# A shell that nobody logged into does not know where rustup put cargo.
if ! command -v cargo >/dev/null 2>&1 && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
