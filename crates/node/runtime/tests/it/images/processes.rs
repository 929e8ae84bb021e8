//! Several processes on one store, and processes that die in the middle.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use runtime::images::{Images, PullBehavior};
use serde_json::json;

use super::made::{Holdings, Made, archive, holdings, layer, open, store};

/// Where a child is to work; set only for children.
const FOLDER: &str = "LONGSHORE_TEST_IMAGE_FOLDER";

/// Not a test of its own: what the children of the tests below do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = open(folder, PullBehavior::PreferCached);
    store.load_blocking(&folder.join("image.tar"), None, &|_, _| {}).unwrap();
}

fn start_child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "images::processes::child"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// An image of many files in a few layers.
fn write_image(folder: &Path) {
    let layers: Vec<_> = (0..4)
        .map(|number| {
            let names: Vec<_> = (0..400).map(|file| format!("{number}/{file}")).collect();
            let text = "text ".repeat(300);
            layer(&names.iter().map(|name| (name.as_str(), text.as_str())).collect::<Vec<_>>())
        })
        .collect();
    let made = Made::new(&layers);
    let named = json!({ "io.containerd.image.name": "many:1" });
    fs::write(folder.join("image.tar"), archive(&made.layout(named))).unwrap();
}

fn whole() -> Holdings {
    Holdings { blobs: 6, layers: 4, references: 1, half_made: 0 }
}

#[tokio::test]
async fn processes_may_load_the_same_at_once() {
    let (folder, store) = store();
    write_image(folder.path());
    let children: Vec<_> = (0..4).map(|_| start_child(folder.path())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(store.find(&"many:1".parse().unwrap()).await.unwrap().is_some());
    store.prune().await.unwrap();
    assert_eq!(holdings(folder.path()), whole());
}

/// How many times a load is killed, spread over the time that a whole one takes.
const KILLS: u32 = 12;

/// Kills the loading child at ever later moments: what is found is the whole image or none, and the
/// next process clears away what was half-made.
#[tokio::test]
async fn a_killed_load_leaves_nothing_half_made() {
    let (folder, _) = store();
    write_image(folder.path());
    let begin = std::time::Instant::now();
    assert!(start_child(folder.path()).wait().unwrap().success());
    let whole_load = begin.elapsed();
    let mut was_cut_short = 0;
    for moment in 0..KILLS {
        fs::remove_dir_all(folder.path().join("images")).unwrap();
        fs::create_dir(folder.path().join("images")).unwrap();
        let mut child = start_child(folder.path());
        // No event on disk could stand for the moments between two of them: so by time.
        tokio::time::sleep(whole_load * moment / KILLS).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(folder.path(), PullBehavior::PreferCached);
        assert_eq!(holdings(folder.path()).half_made, 0, "after {moment}");
        match store.find(&"many:1".parse().unwrap()).await.unwrap() {
            Some(_) => assert_eq!(holdings(folder.path()), whole()),
            None => {
                was_cut_short += 1;
                store.prune().await.unwrap();
                assert_eq!(holdings(folder.path()), Holdings::default());
            }
        }
    }
    // The first is killed at once; how many others are depends on the machine.
    assert!(was_cut_short > 0, "no load was cut short");
}
