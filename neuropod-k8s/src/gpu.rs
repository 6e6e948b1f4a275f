//! How a cluster is asked for GPUs: by a resource that a device plugin offers, on nodes whose label names the product that
//! was paid for. Pure.

use neuropod_core::orchestrator::DeviceRequest;

/// How GPUs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpus {
    /// The resource of a whole GPU. Parts of one, on clusters that mix both, are `nvidia.com/mig-…`.
    pub resource: String,
    /// The label of nodes that names their GPU's product.
    pub product_label: String,
    /// The runtime class of pods with GPUs, where the nodes' default runtime does not know GPUs.
    pub runtime_class: Option<String>,
}

impl Default for Gpus {
    /// As NVIDIA's operator sets a cluster up.
    fn default() -> Self {
        Self {
            resource: "nvidia.com/gpu".to_owned(),
            product_label: "nvidia.com/gpu.product".to_owned(),
            runtime_class: None,
        }
    }
}

/// What a pod with GPUs asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) resource: String,
    pub(crate) count: u32,
    /// The label, and the values of which a node must have one.
    pub(crate) on: Option<(String, Vec<String>)>,
}

impl Gpus {
    pub(crate) fn wanted(&self, request: &DeviceRequest) -> Wanted {
        let products: Vec<String> = request.products.iter().map(|p| label_value(p)).collect();
        let profile = products.first().and_then(|product| mig_profile(product));
        let (resource, label) = match profile {
            Some(profile) => (
                format!("nvidia.com/mig-{profile}"),
                format!("nvidia.com/mig-{profile}.product"),
            ),
            None => (self.resource.clone(), self.product_label.clone()),
        };
        Wanted {
            resource,
            count: request.count,
            on: (!products.is_empty()).then_some((label, products)),
        }
    }
}

/// A product as nodes are labelled with it: values of labels have no spaces.
pub(crate) fn label_value(product: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let value: String = product
        .trim()
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    value
        .trim_matches(['-', '_', '.'])
        .chars()
        .take(63)
        .collect()
}

/// `1g.5gb` of `NVIDIA-A100-SXM4-40GB-MIG-1g.5gb`.
fn mig_profile(product: &str) -> Option<&str> {
    product.split_once("-MIG-").map(|(_, profile)| profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(products: &[&str]) -> Wanted {
        Gpus::default().wanted(&DeviceRequest {
            count: 2,
            products: products.iter().map(|&p| p.to_owned()).collect(),
        })
    }

    #[test]
    fn a_product_is_asked_for_by_its_label() {
        let whole = wanted(&["NVIDIA GeForce RTX 4050", "NVIDIA-GeForce-RTX-4050-Laptop"]);
        assert_eq!((&*whole.resource, whole.count), ("nvidia.com/gpu", 2));
        let (label, values) = whole.on.unwrap();
        assert_eq!(label, "nvidia.com/gpu.product");
        assert_eq!(
            values,
            ["NVIDIA-GeForce-RTX-4050", "NVIDIA-GeForce-RTX-4050-Laptop"]
        );
        assert_eq!(wanted(&[]).on, None, "any product will do");
    }

    #[test]
    fn a_part_of_a_gpu_has_a_resource_of_its_own() {
        let part = wanted(&["NVIDIA A100-SXM4-40GB MIG 1g.5gb"]);
        assert_eq!(part.resource, "nvidia.com/mig-1g.5gb");
        assert_eq!(part.on.unwrap().0, "nvidia.com/mig-1g.5gb.product");
    }
}
