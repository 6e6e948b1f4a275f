//! What a caller asks for, and the one check that turns it into a [`PodSpec`] or names everything that is wrong.

pub(crate) mod image;
mod ports;
mod text;

use std::time::Duration;

use crate::error::{Error, ErrorKind, FieldError, Result};
use crate::id::{GpuId, TemplateId, UserId};
use crate::pod::{Env, PodSpec, Resources};
use crate::pricing::PriceList;
use crate::template::Template;

const DEFAULT_CONTAINER_DISK_GB: u32 = 10;
const DEFAULT_VOLUME_DISK_GB: u32 = 20;
const DEFAULT_VOLUME_PATH: &str = "/workspace";
/// A pod that waits for somebody to come is not idle yet.
const SHORTEST_IDLE: Duration = Duration::from_secs(60);
const LONGEST_DEADLINE: Duration = Duration::from_secs(366 * 24 * 3600);

/// What a caller asks for. Nothing in it has been checked; numbers are as wide as what people send.
///
/// ```
/// use neuropod_core::launch::Launch;
///
/// let ask = Launch::image("neuropod/demo:latest").name("hello").gpu("cpu").port(8080);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// A name for people, 1 to 50 characters.
    pub name: String,
    /// What is to run.
    pub deployment: Deployment,
    /// The entry of the price list; `cpu` takes no device.
    pub gpu: GpuId,
    /// Container disk in GB; `None` takes the template's, or 10.
    pub container_disk_gb: Option<i64>,
    /// Volume in GB; `None` takes the template's, or 20.
    pub volume_disk_gb: Option<i64>,
    /// HTTP ports inside the container; empty takes the template's.
    pub ports: Vec<i64>,
    /// TCP ports inside the container, beside the template's.
    pub tcp_ports: Vec<i64>,
    /// Environment variables.
    pub env: Env,
    /// Arguments instead of the image's command; empty keeps the image's own.
    pub args: Vec<String>,
    /// Whether Jupyter runs beside the image's program, on port 8888.
    pub jupyter: bool,
    /// CPU, memory and process limits.
    pub resources: Resources,
    /// Whose pod it is to be, if an administrator launches it for somebody.
    pub assign_to: Option<Assignee>,
    /// Stop it once nothing has used it for so long, a minute at least.
    pub idle_stop: Option<Duration>,
    /// Stop it so long after its launch.
    pub stop_after: Option<Duration>,
    /// Delete it so long after its launch.
    pub delete_after: Option<Duration>,
}

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deployment {
    /// A template's image, with its ports and volume path.
    Template(TemplateId),
    /// An image by its reference.
    Image(String),
}

/// A user, by whatever the caller knows of him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignee {
    /// By e-mail address.
    Email(String),
    /// By id.
    User(UserId),
}

impl Launch {
    /// Asks for a pod of this deployment: named `pod`, without a GPU, with default sizes and no ports.
    pub fn new(deployment: Deployment) -> Self {
        Self {
            name: "pod".to_owned(),
            deployment,
            gpu: GpuId::from("cpu"),
            container_disk_gb: None,
            volume_disk_gb: None,
            ports: Vec::new(),
            tcp_ports: Vec::new(),
            env: Env::default(),
            args: Vec::new(),
            jupyter: false,
            resources: Resources::default(),
            assign_to: None,
            idle_stop: None,
            stop_after: None,
            delete_after: None,
        }
    }

    /// Asks for a pod of this image.
    pub fn image(reference: impl Into<String>) -> Self {
        Self::new(Deployment::Image(reference.into()))
    }

    /// Asks for a pod of this template.
    pub fn template(id: TemplateId) -> Self {
        Self::new(Deployment::Template(id))
    }

    /// Names it.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Asks for an entry of the price list.
    pub fn gpu(self, id: &str) -> Self {
        Self {
            gpu: GpuId::from(id),
            ..self
        }
    }

    /// Publishes an HTTP port.
    pub fn port(mut self, port: impl Into<i64>) -> Self {
        self.ports.push(port.into());
        self
    }

    /// Publishes a TCP port.
    pub fn tcp_port(mut self, port: impl Into<i64>) -> Self {
        self.tcp_ports.push(port.into());
        self
    }

    /// Sizes of container disk and volume, in GB.
    pub fn disks(self, container_gb: impl Into<i64>, volume_gb: impl Into<i64>) -> Self {
        Self {
            container_disk_gb: Some(container_gb.into()),
            volume_disk_gb: Some(volume_gb.into()),
            ..self
        }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.0.insert(name.into(), value.into());
        self
    }

    /// Arguments instead of the image's command.
    pub fn args<S: Into<String>>(self, args: impl IntoIterator<Item = S>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Runs Jupyter beside the image's program.
    pub fn jupyter(self) -> Self {
        Self {
            jupyter: true,
            ..self
        }
    }

    /// Stops it once nothing has used it for so long: neither its program nor its devices compute, its network is quiet, and
    /// nobody says that he is there.
    pub fn idle_stop(self, after: Duration) -> Self {
        Self {
            idle_stop: Some(after),
            ..self
        }
    }

    /// Stops it so long after its launch.
    pub fn stop_after(self, after: Duration) -> Self {
        Self {
            stop_after: Some(after),
            ..self
        }
    }

    /// Deletes it so long after its launch.
    pub fn delete_after(self, after: Duration) -> Self {
        Self {
            delete_after: Some(after),
            ..self
        }
    }

    /// Judges the whole ask at once. `template` is what the store has under the id of a
    /// [`Deployment::Template`], if it has anything.
    ///
    /// # Errors
    /// `Invalid` with every wrong field by the JSON pointer it has in an HTTP body; if nothing is wrong,
    /// `GpuUnavailable` for a GPU that is in the list but not offered.
    pub fn check(&self, prices: &PriceList, template: Option<&Template>) -> Result<PodSpec> {
        let mut wrong = Wrong::default();
        let template = match &self.deployment {
            Deployment::Template(id) => {
                if template.is_none() {
                    wrong.note("/template", format!("There is no template {id}."));
                }
                template
            }
            Deployment::Image(_) => None,
        };
        let image = match (&self.deployment, template) {
            (Deployment::Image(reference), _) => reference.trim().to_owned(),
            (_, template) => template.map(|t| t.image.clone()).unwrap_or_default(),
        };
        if let (Deployment::Image(_), Err(message)) = (&self.deployment, image::check(&image)) {
            wrong.note("/dockerImage", message);
        }
        let entry = prices.gpus.get(&self.gpu);
        if entry.is_none() {
            wrong.note("/gpu", self.unknown_gpu(prices));
        }
        let limits = &prices.limits;
        let container_disk_gb = wrong.size(
            "/containerDiskSize",
            "The container disk",
            self.container_disk_gb,
            template.map_or(DEFAULT_CONTAINER_DISK_GB, |t| t.container_disk_gb),
            limits.container_disk_max,
        );
        let volume_disk_gb = wrong.size(
            "/volumeDiskSize",
            "The volume",
            self.volume_disk_gb,
            template.map_or(DEFAULT_VOLUME_DISK_GB, |t| t.volume_disk_gb),
            limits.volume_disk_max,
        );
        wrong.idle("/idleStop", self.idle_stop);
        wrong.deadline("/stopAfter", self.stop_after);
        wrong.deadline("/deleteAfter", self.delete_after);
        let name = text::name(&self.name, &mut wrong);
        text::env(&self.env, &mut wrong);
        text::args(&self.args, &mut wrong);
        let ports = ports::named(self, template, limits.ports_max, &mut wrong);
        wrong.verdict()?;
        let entry = entry.filter(|e| e.available).ok_or_else(|| {
            Error::new(
                ErrorKind::GpuUnavailable,
                format!("The GPU \"{}\" is not offered at the moment.", self.gpu),
            )
        })?;
        Ok(PodSpec {
            name,
            template: template.map(|t| t.id),
            image,
            args: self.args.clone(),
            gpu: self.gpu.clone(),
            devices: entry.devices,
            ports,
            env: self.env.clone(),
            container_disk_gb,
            volume_disk_gb,
            volume_path: template
                .map_or(DEFAULT_VOLUME_PATH, |t| &t.volume_path)
                .to_owned(),
            jupyter: self.jupyter,
            resources: self.resources,
        })
    }

    fn unknown_gpu(&self, prices: &PriceList) -> String {
        let offered: Vec<&str> = prices
            .gpus
            .iter()
            .filter(|(_, entry)| entry.available)
            .map(|(id, _)| id.as_str())
            .collect();
        format!(
            "There is no GPU {} in the price list; offered are {}.",
            text::quoted(self.gpu.as_str()),
            offered.join(", ")
        )
    }
}

/// What is wrong so far.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn note(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError {
            pointer: pointer.into(),
            message: message.into(),
        });
    }

    fn size(
        &mut self,
        pointer: &str,
        what: &str,
        asked: Option<i64>,
        default: u32,
        max: u32,
    ) -> u32 {
        let asked = asked.unwrap_or(i64::from(default));
        match u32::try_from(asked) {
            Ok(size) if (1..=max).contains(&size) => size,
            _ => {
                self.note(pointer, format!("{what} is 1 to {max} GB, not {asked}."));
                0
            }
        }
    }

    fn idle(&mut self, pointer: &str, after: Option<Duration>) {
        if after.is_some_and(|d| d < SHORTEST_IDLE || d > LONGEST_DEADLINE) {
            self.note(
                pointer,
                "A pod is idle for a minute at least and 366 days at most before it is stopped.",
            );
        }
    }

    fn deadline(&mut self, pointer: &str, after: Option<Duration>) {
        if after.is_some_and(|d| d.is_zero() || d > LONGEST_DEADLINE) {
            self.note(
                pointer,
                "A deadline is more than nothing and at most 366 days away.",
            );
        }
    }

    fn verdict(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_fields(self.0))
        }
    }
}

#[cfg(test)]
mod tests;
