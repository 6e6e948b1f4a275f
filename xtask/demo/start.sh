#!/bin/sh
# The program of neuropod/demo: one page on port 8080, a log line per request.
trap 'echo "demo: told to stop"; exit 0' TERM INT

page=/www/index.html
echo "<h1>Hello from pod $(hostname)</h1><p>Started at $(date -u +%FT%TZ).</p>" >"$page"
# The volume outlives stop and start; the container's own disk does not.
if [ -d /workspace ]; then
    echo start >>/workspace/starts
    echo "<p>Starts counted on its volume: $(wc -l </workspace/starts).</p>" >>"$page"
fi

echo "demo: serving HTTP on port 8080"
httpd -f -vv -p 8080 -h /www 2>&1 &
wait
