# Starts Jupyter beside the image's program, and then is that program.
#   sh -c "$THIS" np PORT MARK [PROGRAM [ARGUMENT...]]
# JUPYTER_TOKEN is Jupyter's token, NEUROPOD_WORKSPACE the folder of the volume. The log tells the token, or why there
# is no Jupyter, and then the file MARK is there. POSIX only: the shell may be dash or BusyBox's, and nothing else of an
# image is taken for granted.
port=$1 mark=$2
shift 2

unavailable() {
    echo "Jupyter Lab is unavailable: $1."
    : >"$mark"
}

works() {
    command -v "$1" >/dev/null 2>&1 && "$1" lab --version >/dev/null 2>&1
}

# Into a folder of its own, but with all that the image's Python has. A Python without ensurepip has its own pip.
install() {
    command -v python3 >/dev/null 2>&1 || return
    echo "Jupyter Lab is being installed; this takes a minute or two."
    { python3 -m venv --clear --system-site-packages "$1" ||
        python3 -m venv --clear --system-site-packages --without-pip "$1"; } >/dev/null 2>&1
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check jupyterlab
}

beside() {
    { cd "${NEUROPOD_WORKSPACE:-/}" && [ -w . ]; } 2>/dev/null || cd "${HOME:-/}" || cd /
    own=${PWD%/}/.neuropod/jupyter
    if works jupyter; then
        jupyter=jupyter
    elif works "$own/bin/jupyter" || { install "$own" && works "$own/bin/jupyter"; }; then
        jupyter=$own/bin/jupyter
    elif command -v python3 >/dev/null 2>&1; then
        unavailable "it could not be installed"
        return
    else
        unavailable "the image has neither Jupyter nor Python"
        return
    fi
    echo "Jupyter Lab token: $JUPYTER_TOKEN"
    "$jupyter" lab --no-browser --allow-root --ip=0.0.0.0 --port="$port" --port-retries=0
    unavailable "it ended with code $?"
}

case " $* " in
*jupyter*lab* | *jupyter*notebook* | *jupyter*server* | *start-notebook* | *start-singleuser*)
    # The image's own program is Jupyter, and finds the token in its environment.
    echo "Jupyter Lab token: $JUPYTER_TOKEN"
    ;;
*)
    beside &
    ;;
esac
[ $# -eq 0 ] || exec "$@"
