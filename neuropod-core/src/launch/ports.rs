//! Which ports are published, and what they are called.

use super::{Launch, Wrong};
use crate::jupyter::PORT as JUPYTER_PORT;
use crate::pod::{PortSpec, Proto};
use crate::template::Template;

const JUPYTER_NAME: &str = "Jupyter Lab";

/// The ports of the ask and of its template, each with its name: HTTP in the order asked, then TCP.
pub(super) fn named(
    ask: &Launch,
    template: Option<&Template>,
    max: u32,
    wrong: &mut Wrong,
) -> Vec<PortSpec> {
    let of_template = |proto| -> Vec<i64> {
        let ports = template.into_iter().flat_map(|t| &t.ports);
        ports
            .filter(|p| p.proto == proto)
            .map(|p| i64::from(p.container))
            .collect()
    };
    let mut http = ask.ports.clone();
    if http.is_empty() {
        http = of_template(Proto::Http);
    }
    if ask.jupyter && !http.contains(&i64::from(JUPYTER_PORT)) {
        http.push(i64::from(JUPYTER_PORT));
    }
    let mut tcp = of_template(Proto::Tcp);
    tcp.retain(|port| !ask.tcp_ports.contains(port));
    tcp.extend(&ask.tcp_ports);

    let count = http.len() + tcp.len();
    if count > max as usize {
        let jupyter = if ask.jupyter {
            ", Jupyter's among them"
        } else {
            ""
        };
        wrong.note(
            "/ports",
            format!("A pod publishes at most {max} ports, not {count}{jupyter}."),
        );
        return Vec::new();
    }
    let mut ports: Vec<PortSpec> = Vec::new();
    for (pointer, asked, proto) in [
        ("/ports", http, Proto::Http),
        ("/tcpPorts", tcp, Proto::Tcp),
    ] {
        for (i, number) in asked.into_iter().enumerate() {
            match u16::try_from(number) {
                Ok(container) if ports.iter().any(|p| p.container == container) => {
                    wrong.note(pointer, format!("Port {container} is listed twice."));
                }
                Ok(container @ 1..) => {
                    ports.push(named_port(ask, template, container, proto, i + 1));
                }
                _ => wrong.note(
                    pointer,
                    format!("Port {number} can't be published: ports are 1 to 65535."),
                ),
            }
        }
    }
    ports
}

/// The template's name for its own ports; others are custom, and numbered by their place in the list.
fn named_port(
    ask: &Launch,
    template: Option<&Template>,
    container: u16,
    proto: Proto,
    place: usize,
) -> PortSpec {
    let listed = template
        .into_iter()
        .flat_map(|t| &t.ports)
        .find(|p| p.container == container && p.proto == proto);
    let is_jupyter = ask.jupyter && container == JUPYTER_PORT && proto == Proto::Http;
    let (name, custom) = match listed {
        Some(port) => (port.name.clone(), false),
        None if is_jupyter => (JUPYTER_NAME.to_owned(), false),
        None => (format!("Servicio {place}"), true),
    };
    PortSpec {
        container,
        proto,
        name,
        custom,
    }
}
