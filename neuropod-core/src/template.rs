//! Templates: ready-made images with their ports and sizes.

use serde::{Deserialize, Serialize};

use crate::id::{TemplateId, UserId};
use crate::pod::PortSpec;
use crate::time::Time;

/// A ready-made image with its ports and sizes. A document of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// A unique name, 1 to 100 characters.
    pub name: String,
    /// The image reference, at most 200 characters.
    pub image: String,
    /// HTTP ports (at least one) and TCP ports, no number twice.
    pub ports: Vec<PortSpec>,
    /// Default container disk in GB, 5 to 100.
    pub container_disk_gb: u32,
    /// Default volume in GB, 10 to 150.
    pub volume_disk_gb: u32,
    /// Where the volume is mounted.
    pub volume_path: String,
    /// Markdown, at most 5000 characters.
    pub description: String,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}
