//! Task sets (ECS semantics §11): never more than twice their share, whatever becomes of tasks.

use super::*;
use crate::model::{
    DeploymentController, Document, Stability, TaskSet, TaskSetStatus, Throttle, Workload,
};

fn set(number: u8, scale_percent: f64) -> TaskSet {
    let Workload { definition, capacity, .. } = revision(number).workload;
    TaskSet {
        id: DeploymentId::from_bytes([number; 16]),
        status: TaskSetStatus::Active,
        workload: Workload {
            definition,
            capacity,
            platform_version: None,
            network: None,
            volume: None,
            balanced: Vec::new(),
        },
        scale_percent,
        computed_desired: 0,
        stability: Stability::Stabilizing,
        stability_at: MADE,
        throttle: Throttle::default(),
        external_id: None,
        tags: Vec::new(),
        client_token: None,
        request: None::<Document<shapes_ecs::CreateTaskSetRequest>>,
        created_at: MADE,
        updated_at: MADE,
    }
}

fn external(desired: u32, sets: Vec<TaskSet>) -> Scene {
    let mut scene = Scene::new(DeploymentConfiguration::replica(), desired);
    scene.view.service.controller = DeploymentController::External;
    scene.view.service.primary = None;
    scene.view.deployments.clear();
    scene.view.task_sets = sets;
    scene.has_checks = true;
    scene
}

#[test]
fn a_set_has_its_share_rounded_up() {
    let mut scene = external(5, vec![set(7, 50.0), set(8, 100.0), set(9, 0.0)]);
    scene.settle();
    let count = |number: u8| scene.count(DeploymentId::from_bytes([number; 16]));
    assert_eq!([count(7), count(8), count(9)], [3, 5, 0]);
}

#[test]
fn unhealthy_and_draining_tasks_are_replaced_within_two_hundred_percent() {
    let mut state = 7_u64;
    let mut roll = |sides: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    for share in 1..=8_u32 {
        let id = DeploymentId::from_bytes([7; 16]);
        let mut scene = external(share, vec![set(7, 100.0)]);
        for _ in 0..300 {
            scene.settle();
            let live = scene.count(id);
            assert!(live <= 2 * share as usize, "{live} of {share}");
            scene.agents();
            for task in &mut scene.view.tasks {
                match roll(12) {
                    0 => task.check = Some(Health::Unhealthy),
                    1 => task.ground.is_draining = true,
                    _ if task.check == Some(Health::Unhealthy) => {}
                    _ => task.check = Some(Health::Healthy),
                }
            }
            scene.pass(5);
        }
        for _ in 0..20 {
            scene.settle();
            scene.agents();
            for task in &mut scene.view.tasks {
                if task.check == Some(Health::Unknown) {
                    task.check = Some(Health::Healthy);
                }
            }
        }
        scene.settle();
        assert_eq!(scene.count(id), share as usize);
        assert_eq!(scene.view.task_sets[0].stability, Stability::SteadyState);
    }
}
