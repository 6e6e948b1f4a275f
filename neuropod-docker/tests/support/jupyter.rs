//! Images with and without what Jupyter needs, and a stand-in for it: made of the demo image, on the spot.

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions, WaitContainerOptions,
};
use futures::StreamExt;

use super::IMAGE;

/// Serves a page to whoever has the token, and to nobody else.
const JUPYTER: &str = r#"cat >/bin/jupyter <<'END'
#!/bin/sh
[ "$2" = --version ] && exec echo 4
for option; do case $option in --port=*) port=${option#--port=} ;; esac; done
mkdir -p /tmp/jupyter/cgi-bin
cat >/tmp/jupyter/cgi-bin/index.cgi <<'PAGE'
#!/bin/sh
if [ "$QUERY_STRING" = "token=$JUPYTER_TOKEN" ]
then printf 'Content-Type: text/plain\r\n\r\na notebook\n'
else printf 'Status: 403 Forbidden\r\n\r\n'
fi
PAGE
chmod +x /tmp/jupyter/cgi-bin/index.cgi
exec httpd -f -p "$port" -h /tmp/jupyter
END
chmod +x /bin/jupyter
"#;

/// Makes a folder in which the same pretends to be installed.
const PYTHON: &str = r#"mkdir /stand-in
mv /bin/jupyter /stand-in
cat >/bin/python3 <<'END'
#!/bin/sh
case $* in
*ensurepip*) exit 1 ;;
"-m venv "*--without-pip*) for folder; do :; done; mkdir -p "$folder/bin"; cp /bin/python3 "$folder/bin/python" ;;
"-m venv "*) exit 1 ;;
"-m pip install "*jupyterlab) cp /stand-in/jupyter "${0%python}" ;;
esac
END
chmod +x /bin/python3
"#;

fn preparation(has: &str) -> String {
    match has {
        "jupyter" => JUPYTER.to_owned(),
        "python" => format!("{JUPYTER}{PYTHON}"),
        "shell" => "true".to_owned(),
        "noshell" => "rm -f /bin/sh /bin/ash /bin/hush /bin/bash".to_owned(),
        _ => panic!("{has}"),
    }
}

fn command(has: &str, own: &str) -> &'static str {
    match own {
        "serves" if has == "noshell" => r#"["httpd", "-f", "-p", "8080", "-h", "/www"]"#,
        "serves" => r#"["sh", "-c", "trap 'exit 7' TERM; httpd -f -p 8080 -h /www & wait"]"#,
        "converses" => r#"["sh"]"#,
        "ends" => r#"["true"]"#,
        _ => panic!("{own}"),
    }
}

/// Makes the image that has `jupyter`, a `python` that installs it, a `shell` or `noshell`, and whose own program
/// `serves` on port 8080, `converses` as a bare shell does, or `ends`; and answers its name.
pub async fn image(docker: &Docker, has: &str, own: &str) -> String {
    let name = format!("neuropod/test-{has}-{own}");
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(["sh", "-c", &preparation(has)].map(str::to_owned).to_vec()),
        ..ContainerCreateBody::default()
    };
    let none = None::<CreateContainerOptions>;
    let made = docker.create_container(none, body).await;
    let id = made.expect("a container to make an image of").id;
    let none = None::<StartContainerOptions>;
    docker.start_container(&id, none).await.expect("started");
    let none = None::<WaitContainerOptions>;
    let ended = docker.wait_container(&id, none).next().await;
    assert!(matches!(ended, Some(Ok(_))), "{name}: {ended:?}");
    let options = CommitContainerOptionsBuilder::new()
        .container(&id)
        .repo(&name);
    let options = options
        .changes(&format!("CMD {}", command(has, own)))
        .build();
    let config = bollard::models::ContainerConfig::default();
    docker
        .commit_container(options, config)
        .await
        .expect("an image");
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    let removed = docker.remove_container(&id, Some(options)).await;
    removed.expect("removed");
    name
}
