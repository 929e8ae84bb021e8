//! What a machine has beside processor and memory: what stands in for AWS's storage, and GPUs.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use agent::Gpu;
use agent::volumes::StandIns;
use anyhow::{Context, Result};
use clap::Args;

/// Flags about storage and devices.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceFlags {
    /// The folder that holds a folder for each file system of EFS, by its id: a network file system
    /// if several machines are to share them [default with up: DATA/efs]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_EFS_ROOT")]
    pub efs_root: Option<PathBuf>,
    /// The same for file systems of FSx [default with up: DATA/fsx]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_FSX_ROOT")]
    pub fsx_root: Option<PathBuf>,
    /// The folder for the disks of EBS volumes, a file each [default: DATA/ebs]
    #[arg(long, value_name = "DIR", env = "LONGSHORE_EBS_ROOT")]
    pub ebs_root: Option<PathBuf>,
    /// A GPU of this machine, by an id and the devices that it takes; may be given several times
    #[arg(long = "gpu-device", value_name = "ID=/dev/…,…")]
    pub gpu_devices: Vec<GpuDevice>,
}

/// A GPU, as `ID=/dev/nvidia0,/dev/nvidiactl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDevice(Gpu);

impl FromStr for GpuDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "a GPU has the form ID=/dev/…, with commas between several devices";
        let (id, devices) = text.split_once('=').ok_or(form)?;
        let devices: Vec<PathBuf> = devices.split(',').map(PathBuf::from).collect();
        if id.trim().is_empty() || !devices.iter().all(|path| path.is_absolute()) {
            return Err(form.to_owned());
        }
        Ok(Self(Gpu { id: id.trim().to_owned(), devices }))
    }
}

impl DeviceFlags {
    /// What stands in for storage on a machine that has EFS and FSx only where it is told: they are
    /// shared among machines in AWS.
    ///
    /// # Errors
    /// If a folder's path cannot be told.
    pub fn of_one_of_many(&self, data: &Path) -> Result<StandIns> {
        let given = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let ebs = given(&self.ebs_root)?.unwrap_or_else(|| data.join("ebs"));
        Ok(StandIns { efs: given(&self.efs_root)?, fsx: given(&self.fsx_root)?, ebs: Some(ebs) })
    }

    /// The same for the one machine of a cluster: it has everything.
    ///
    /// # Errors
    /// If a folder's path cannot be told.
    pub fn of_the_only_one(&self, data: &Path) -> Result<StandIns> {
        let StandIns { efs, fsx, ebs } = self.of_one_of_many(data)?;
        let or = |path: Option<PathBuf>, name: &str| path.unwrap_or_else(|| data.join(name));
        Ok(StandIns { efs: Some(or(efs, "efs")), fsx: Some(or(fsx, "fsx")), ebs })
    }

    /// The GPUs of the instance with this number, from 0, of `count` on this machine: each is of one
    /// of them.
    pub fn gpus(&self, number: u32, count: u32) -> Vec<Gpu> {
        let all = self.gpu_devices.iter().enumerate();
        let its = all.filter(|(index, _)| *index as u32 % count.max(1) == number);
        its.map(|(_, device)| device.0.clone()).collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("the path of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_shared_out_among_instances() {
        let parse = |text: &str| text.parse::<GpuDevice>();
        let one = Gpu { id: "GPU-1".to_owned(), devices: vec!["/dev/a".into(), "/dev/ctl".into()] };
        assert_eq!(parse("GPU-1=/dev/a,/dev/ctl"), Ok(GpuDevice(one)));
        for wrong in ["GPU-1", "=/dev/a", "GPU-1=", "GPU-1=relative"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let devices = ["a", "b", "c"].map(|id| format!("{id}=/dev/{id}").parse::<GpuDevice>());
        let devices = devices.into_iter().collect::<Result<Vec<_>, _>>();
        let flags = DeviceFlags { gpu_devices: devices.unwrap_or_default(), ..Default::default() };
        let ids = |number, count| {
            let gpus = flags.gpus(number, count);
            gpus.into_iter().map(|gpu| gpu.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(0, 1), ["a", "b", "c"]);
        assert_eq!((ids(0, 2), ids(1, 2)), (vec!["a".into(), "c".into()], vec!["b".into()]));
    }
}
