"""JupyterHub with DockerSpawner, as the bench `docker` starts it: it launches the image that NeuroPod launches."""

import os

PORTS = os.environ["NEUROPOD_BENCH_PORTS"].split(",")

c = get_config()  # noqa: F821
c.JupyterHub.bind_url = f"http://127.0.0.1:{PORTS[0]}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORTS[1]}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORTS[2]}"
# Ends with the hub, which the bench ends by a signal that leaves it no time for that.
c.ConfigurableHTTPProxy.command = ["setpriv", "--pdeathsig", "KILL", "configurable-http-proxy"]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.log_level = "WARN"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.active_server_limit = 0
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["NEUROPOD_BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers"]}
]
# The request that launches answers once the server is up, however long that takes.
c.Spawner.http_timeout = 60
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 60}
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = "neuropod/demo"
c.DockerSpawner.pull_policy = "never"
# Whatever answers over HTTP is up.
c.DockerSpawner.cmd = ["httpd", "-f", "-p", "8888", "-h", "/www"]
c.DockerSpawner.mem_limit = "64M"
c.DockerSpawner.extra_create_kwargs = {"labels": {os.environ["NEUROPOD_BENCH_MARK"]: ""}}
