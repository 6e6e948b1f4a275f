//! Templates: ready-made images with their ports and sizes.

mod draft;

use serde::{Deserialize, Serialize};

pub use draft::TemplateDraft;

use crate::id::{TemplateId, UserId};
use crate::pod::{PortSpec, Proto};
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

impl Template {
    /// One that nothing is written into yet.
    pub(crate) fn blank(now: Time) -> Self {
        Self {
            id: TemplateId::from_bytes([0; 12]),
            name: String::new(),
            image: String::new(),
            ports: Vec::new(),
            container_disk_gb: 0,
            volume_disk_gb: 0,
            volume_path: String::new(),
            description: String::new(),
            created_by: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// The three templates that are seeded at first start. Their ids are fixed, so that seeding again changes nothing.
    pub fn seeds(now: Time) -> Vec<Self> {
        let template = |n: u8,
                        name: &str,
                        image: &str,
                        http: &[(u16, &str)],
                        disks: (u32, u32),
                        description: &str| {
            let port = |&(container, name): &(u16, &str), proto| PortSpec {
                container,
                proto,
                name: name.to_owned(),
                custom: false,
            };
            let http = http.iter().map(|p| port(p, Proto::Http));
            Self {
                id: TemplateId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]),
                name: name.to_owned(),
                image: image.to_owned(),
                ports: http.chain([port(&(22, "SSH"), Proto::Tcp)]).collect(),
                container_disk_gb: disks.0,
                volume_disk_gb: disks.1,
                volume_path: "/workspace".to_owned(),
                description: description.to_owned(),
                created_by: None,
                created_at: now,
                updated_at: now,
            }
        };
        vec![
            template(
                1,
                "Ubuntu Base",
                "ubuntu:22.04",
                &[(8888, "Jupyter Lab"), (8080, "Web Server")],
                (10, 20),
                UBUNTU,
            ),
            template(
                2,
                "ComfyUI",
                "comfyui/comfyui:latest",
                &[(8188, "ComfyUI Web Interface"), (8888, "Jupyter Lab")],
                (20, 50),
                COMFYUI,
            ),
            template(
                3,
                "Python Data Science",
                "jupyter/datascience-notebook:latest",
                &[
                    (8888, "Jupyter Lab"),
                    (8787, "RStudio"),
                    (8080, "MLflow UI"),
                ],
                (15, 30),
                DATA_SCIENCE,
            ),
        ]
    }
}

// For the people who see them in the frontend, in its language. They promise only what the platform does.
const UBUNTU: &str = "\
# Ubuntu Base

Un entorno general con Ubuntu 22.04 para desarrollo web, pruebas con Python y prototipos.

- **8888**: Jupyter Lab, si está marcado
- **8080**: para el servidor web que usted inicie
- **22/TCP**: para el servidor SSH que usted inicie

Disco del contenedor 10 GB; volumen 20 GB en `/workspace`, que se conserva al detener el pod.
";
const COMFYUI: &str = "\
# ComfyUI

Interfaz de nodos para Stable Diffusion, con Jupyter Lab al lado.

- **8188**: ComfyUI
- **8888**: Jupyter Lab, si está marcado

Se recomiendan 8 GB de VRAM o más, y una conexión rápida para descargar modelos. Disco del contenedor 20 GB; volumen
50 GB en `/workspace`.
";
const DATA_SCIENCE: &str = "\
# Python Data Science

Cuadernos de ciencia de datos con Python y R.

- **8888**: Jupyter Lab
- **8787**: para el RStudio que usted inicie
- **8080**: para el MLflow que usted inicie

Disco del contenedor 15 GB; volumen 30 GB en `/workspace`.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::Launch;
    use crate::pricing::PriceList;

    #[test]
    fn every_seed_can_be_launched_as_it_is() {
        for template in Template::seeds(Time::EPOCH) {
            let spec = Launch::template(template.id)
                .jupyter()
                .check(&PriceList::seed(), Some(&template))
                .unwrap();
            assert_eq!(spec.ports, template.ports);
            assert_eq!(spec.image, template.image);
            assert!(
                Launch::image(&template.image)
                    .check(&PriceList::seed(), None)
                    .is_ok()
            );
        }
    }
}
