# neuropod-server as an image: docker build --tag neuropod-server .
FROM rust:1.95-bookworm AS build
WORKDIR /neuropod
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/neuropod/target \
    cargo build --locked --release --package neuropod-server && \
    cp target/release/neuropod-server /usr/local/bin/

FROM debian:bookworm-slim
# Databases that want TLS are checked against the certificates of the system.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/neuropod-server /usr/local/bin/
# SQLite makes files beside its own, so the folder is the server's too.
RUN install --directory --owner=65532 --group=65532 /data
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV HOST=0.0.0.0 PORT=3000 DATABASE_URL=sqlite:///data/neuropod.db
EXPOSE 3000
# By the shell alone: the image has no client for HTTP.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bash", "-c", "\
    exec 3<>/dev/tcp/${HOST/0.0.0.0/127.0.0.1}/$PORT && \
    printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && \
    read -r -u 3 answer && [[ $answer == *' 200 '* ]]"]
ENTRYPOINT ["neuropod-server"]
