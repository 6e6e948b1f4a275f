//! A template as somebody writes it down, and what it must be like.

use super::Template;
use crate::error::{Error, FieldError, Result};
use crate::launch::image;
use crate::pod::{PortSpec, Proto};
use crate::time::Time;

const NAME_MAX: usize = 100;
const IMAGE_MAX: usize = 200;
const SERVICE_MAX: usize = 100;
const PATH_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 5000;
const CONTAINER_DISK: (i64, i64) = (5, 100);
const VOLUME_DISK: (i64, i64) = (10, 150);

/// A template that is to be made, or changed. Its numbers are as they were given: whether they make sense is told for all
/// fields at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateDraft {
    /// A unique name, 1 to 100 characters; blanks around it do not count.
    pub name: String,
    /// The image reference, at most 200 characters.
    pub image: String,
    /// Ports that speak HTTP, each with its name. Entries without a port or a name are left out; one must be left.
    pub http_ports: Vec<(i64, String)>,
    /// Other TCP ports, each with its name.
    pub tcp_ports: Vec<(i64, String)>,
    /// Default container disk in GB, 5 to 100.
    pub container_disk_gb: i64,
    /// Default volume in GB, 10 to 150.
    pub volume_disk_gb: i64,
    /// Where the volume is mounted: an absolute path.
    pub volume_path: String,
    /// Markdown, at most 5000 characters.
    pub description: String,
}

impl Default for TemplateDraft {
    /// Without name, image and ports; the rest as the original has it.
    fn default() -> Self {
        Self {
            name: String::new(),
            image: String::new(),
            http_ports: Vec::new(),
            tcp_ports: Vec::new(),
            container_disk_gb: 10,
            volume_disk_gb: 20,
            volume_path: "/workspace".to_owned(),
            description: String::new(),
        }
    }
}

impl From<&Template> for TemplateDraft {
    fn from(template: &Template) -> Self {
        let ports = |proto| {
            let ports = template
                .ports
                .iter()
                .filter(move |port| port.proto == proto);
            ports.map(|port| (i64::from(port.container), port.name.clone()))
        };
        Self {
            name: template.name.clone(),
            image: template.image.clone(),
            http_ports: ports(Proto::Http).collect(),
            tcp_ports: ports(Proto::Tcp).collect(),
            container_disk_gb: template.container_disk_gb.into(),
            volume_disk_gb: template.volume_disk_gb.into(),
            volume_path: template.volume_path.clone(),
            description: template.description.clone(),
        }
    }
}

impl TemplateDraft {
    /// Whether it can be a template.
    ///
    /// # Errors
    /// `Invalid` with every wrong field by the JSON pointer it has in an HTTP body.
    pub fn check(&self) -> Result<()> {
        self.write(&mut Template::blank(Time::EPOCH))
    }

    /// Writes the draft into `template`.
    ///
    /// # Errors
    /// As [`TemplateDraft::check`].
    pub(crate) fn write(&self, template: &mut Template) -> Result<()> {
        let mut wrong = Wrong::default();
        let name = wrong.text("/name", &self.name, 1, NAME_MAX);
        let image = wrong.text("/dockerImage", &self.image, 1, IMAGE_MAX);
        if !image.is_empty()
            && let Err(message) = image::check(&image)
        {
            wrong.note("/dockerImage", message);
        }
        let ports = self.ports(&mut wrong);
        let container_disk_gb =
            wrong.size("/containerDiskSize", self.container_disk_gb, CONTAINER_DISK);
        let volume_disk_gb = wrong.size("/volumeDiskSize", self.volume_disk_gb, VOLUME_DISK);
        if !is_mount_point(&self.volume_path) {
            wrong.note(
                "/volumePath",
                format!("\"volumePath\" is an absolute path of at most {PATH_MAX} characters, such as \"/workspace\"."),
            );
        }
        if self.description.chars().count() > DESCRIPTION_MAX {
            wrong.note(
                "/description",
                format!("A description has at most {DESCRIPTION_MAX} characters."),
            );
        }
        if !wrong.0.is_empty() {
            return Err(Error::invalid_fields(wrong.0));
        }
        template.name = name;
        template.image = image;
        template.ports = ports;
        template.container_disk_gb = container_disk_gb;
        template.volume_disk_gb = volume_disk_gb;
        template.volume_path.clone_from(&self.volume_path);
        template.description.clone_from(&self.description);
        Ok(())
    }

    fn ports(&self, wrong: &mut Wrong) -> Vec<PortSpec> {
        let is_filled = |(port, name): &&(i64, String)| *port > 0 && !name.trim().is_empty();
        let http = self.http_ports.iter().filter(is_filled);
        let http = http.map(|port| ("/httpPorts", Proto::Http, port));
        let tcp = self.tcp_ports.iter();
        let tcp = tcp.map(|port| ("/tcpPorts", Proto::Tcp, port));
        let mut ports: Vec<PortSpec> = Vec::new();
        for (pointer, proto, (number, name)) in http.chain(tcp) {
            let name = wrong.text(pointer, name, 1, SERVICE_MAX);
            match u16::try_from(*number) {
                Ok(container) if ports.iter().any(|port| port.container == container) => {
                    wrong.note(pointer, format!("Port {container} is listed twice."));
                }
                Ok(container @ 1..) => ports.push(PortSpec {
                    container,
                    proto,
                    name,
                    custom: false,
                }),
                _ => wrong.note(
                    pointer,
                    format!("{number} is no port: ports are 1 to 65535."),
                ),
            }
        }
        if !ports.iter().any(|port| port.proto == Proto::Http) {
            wrong.note("/httpPorts", "A template has an HTTP port with a name.");
        }
        ports
    }
}

fn is_mount_point(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let plain = |c: char| !c.is_control() && !matches!(c, ':' | ',' | '\\');
    path.len() <= PATH_MAX
        && path.chars().all(plain)
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(part))
}

/// What is wrong so far.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn note(&mut self, pointer: &str, message: impl Into<String>) {
        self.0.push(FieldError {
            pointer: pointer.to_owned(),
            message: message.into(),
        });
    }

    /// The text without blanks around it.
    fn text(&mut self, pointer: &str, text: &str, min: usize, max: usize) -> String {
        let text = text.trim();
        let name = pointer.trim_start_matches('/');
        if !(min..=max).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            self.note(
                pointer,
                format!("\"{name}\" takes {min} to {max} characters, no line breaks."),
            );
        }
        text.to_owned()
    }

    fn size(&mut self, pointer: &str, size: i64, (min, max): (i64, i64)) -> u32 {
        match u32::try_from(size) {
            Ok(fits) if (min..=max).contains(&size) => fits,
            _ => {
                let name = pointer.trim_start_matches('/');
                self.note(
                    pointer,
                    format!("\"{name}\" is {min} to {max} GB, not {size}."),
                );
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> TemplateDraft {
        TemplateDraft {
            name: "One".to_owned(),
            image: "ubuntu:22.04".to_owned(),
            http_ports: vec![(8080, "Web".to_owned())],
            ..TemplateDraft::default()
        }
    }

    #[test]
    fn a_template_and_its_draft_are_the_same() {
        for seed in Template::seeds(Time::EPOCH) {
            let mut written = seed.clone();
            TemplateDraft::from(&seed).write(&mut written).unwrap();
            assert_eq!(written, seed);
        }
    }

    #[test]
    fn every_wrong_field_is_named_and_nothing_is_written() {
        let port = |n: i64| (n, "Name".to_owned());
        let long = |n: usize| "x".repeat(n);
        type Change = Box<dyn Fn(&mut TemplateDraft)>;
        let cases: Vec<(&str, Change)> = vec![
            ("/name", Box::new(|d| d.name = "  ".to_owned())),
            ("/name", Box::new(move |d| d.name = long(101))),
            ("/name", Box::new(|d| d.name = "a\nb".to_owned())),
            ("/dockerImage", Box::new(|d| d.image = String::new())),
            (
                "/dockerImage",
                Box::new(|d| d.image = "No Image".to_owned()),
            ),
            ("/dockerImage", Box::new(move |d| d.image = long(201))),
            ("/httpPorts", Box::new(|d| d.http_ports.clear())),
            (
                "/httpPorts",
                Box::new(|d| d.http_ports = vec![(0, "Web".to_owned()), (80, " ".to_owned())]),
            ),
            (
                "/httpPorts",
                Box::new(move |d| d.http_ports.push(port(65_536))),
            ),
            (
                "/httpPorts",
                Box::new(move |d| d.http_ports.push(port(8080))),
            ),
            ("/tcpPorts", Box::new(move |d| d.tcp_ports.push(port(8080)))),
            ("/tcpPorts", Box::new(move |d| d.tcp_ports.push(port(0)))),
            (
                "/tcpPorts",
                Box::new(|d| d.tcp_ports.push((22, String::new()))),
            ),
            ("/containerDiskSize", Box::new(|d| d.container_disk_gb = 4)),
            (
                "/containerDiskSize",
                Box::new(|d| d.container_disk_gb = i64::MAX),
            ),
            ("/volumeDiskSize", Box::new(|d| d.volume_disk_gb = 151)),
            (
                "/volumePath",
                Box::new(|d| d.volume_path = "workspace".to_owned()),
            ),
            ("/volumePath", Box::new(|d| d.volume_path = "/".to_owned())),
            (
                "/volumePath",
                Box::new(|d| d.volume_path = "/a/../etc".to_owned()),
            ),
            (
                "/volumePath",
                Box::new(|d| d.volume_path = "/a:ro".to_owned()),
            ),
            (
                "/description",
                Box::new(move |d| d.description = long(5001)),
            ),
        ];
        let seed = Template::seeds(Time::EPOCH).remove(0);
        for (pointer, change) in cases {
            let (mut wrong, mut written) = (draft(), seed.clone());
            change(&mut wrong);
            let refused = wrong.write(&mut written).unwrap_err();
            let named: Vec<_> = refused
                .fields()
                .iter()
                .map(|f| f.pointer.as_str())
                .collect();
            assert_eq!(named, [pointer], "{wrong:?}");
            assert_eq!(written, seed);
        }
    }

    #[test]
    fn rows_of_a_form_that_were_left_empty_do_not_count() {
        let mut draft = draft();
        draft.http_ports.extend([
            (0, String::new()),
            (-1, "x".to_owned()),
            (9000, " ".to_owned()),
        ]);
        let mut written = Template::seeds(Time::EPOCH).remove(0);
        draft.write(&mut written).unwrap();
        assert_eq!(written.ports.len(), 1);
    }
}
