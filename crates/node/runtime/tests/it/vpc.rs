//! Instances with a namespace of their own, and awsvpc tasks: who reaches whom, and what is left.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use runtime::containers::Network;
use runtime::networks::{LinuxNetworks, NetworkOptions};
use runtime::{
    ContainerId, Containers, Interface, NetworkError, Networks, PortMapping, Protocol, TaskNetwork,
};

use crate::ground::{Ground, unique};

/// A VPC of a test's own, and an address in it that no other test uses at the same time: host
/// routes are for all.
struct Scene {
    vpc: String,
    ground: Ground,
    host: u8,
}

impl Scene {
    async fn new(host: u8) -> Self {
        Self { vpc: format!("test-{}", unique()), ground: Ground::new().await, host }
    }

    fn folders(&self, instance: &str) -> (PathBuf, PathBuf) {
        let data = self.ground.data.path();
        (data.join(instance).join("node"), data.join(instance).join("run"))
    }

    async fn open(&self, instance: &str, own: bool) -> LinuxNetworks {
        let (node, run) = self.folders(instance);
        let vpc = Some(self.vpc.clone());
        // None are made ahead: what makes them would outlast its owner here.
        let options = NetworkOptions { vpc, own, ready: 0, ..NetworkOptions::default() };
        LinuxNetworks::open(&node, &run, options).await.unwrap()
    }

    /// An interface in the zone's subnet, as the control plane would give it.
    fn interface(&self, zone: u8) -> Interface {
        Interface {
            id: format!("eni-{zone}"),
            mac: [0x0a, 0xff, 0, 0, zone, self.host],
            address: Ipv4Addr::new(172, 31, zone * 16 + 9, self.host),
            prefix: 20,
            gateway: Ipv4Addr::new(172, 31, zone * 16, 1),
        }
    }

    /// Runs a web server that says `word`.
    async fn serve(&self, word: &str, network: Network) -> ContainerId {
        let script = format!("mkdir /www; echo {word} > /www/index.html; exec httpd -f -h /www");
        let mut spec = self.ground.shell(&script);
        spec.network = network;
        let id = spec.id.clone();
        self.ground.containers.create(spec).await.unwrap();
        self.ground.containers.start(&id).await.unwrap();
        id
    }

    /// What a script says in a network.
    async fn say(&self, network: Network, script: &str) -> String {
        let mut spec = self.ground.shell(script);
        spec.network = network;
        self.ground.run(spec).await.1
    }

    fn vpc_folder(&self) -> PathBuf {
        Path::new("/run/longshore").join(&self.vpc)
    }

    /// Interfaces, routes, mounts and folders that the test's networks left.
    fn left(&self, addresses: &[Ipv4Addr]) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let routes = fs::read_to_string("/proc/net/route").unwrap();
        let data = self.ground.data.path().to_string_lossy().into_owned();
        let mut left: Vec<String> = mounts
            .lines()
            .filter(|line| line.contains(&self.vpc) || line.contains(&data))
            .map(str::to_owned)
            .collect();
        for address in addresses {
            let hex = format!("\t{:08X}\t", u32::from_le_bytes(address.octets()));
            left.extend(routes.lines().filter(|line| line.contains(&hex)).map(str::to_owned));
        }
        if self.vpc_folder().exists() {
            left.push(self.vpc_folder().display().to_string());
        }
        left
    }
}

fn of(network: &TaskNetwork) -> Network {
    let address = Some(network.interface.address);
    Network::Namespace { path: network.namespace.clone(), address }
}

/// What a web server says to the host; tried again until it listens.
fn get(address: impl Into<SocketAddr>) -> String {
    let address = address.into();
    let mut stream = loop {
        if let Ok(stream) = TcpStream::connect(address) {
            break stream;
        }
        std::thread::yield_now();
    };
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n\r\n").next().unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_on_two_instances_and_the_host_reach_each_other() {
    let scene = Scene::new(11).await;
    let (first, second) = (scene.open("one", true).await, scene.open("two", true).await);
    let (a, b) = (scene.interface(0), scene.interface(1));
    let in_a = first.attach_task("task-a", &a).await.unwrap();
    let in_b = second.attach_task("task-b", &b).await.unwrap();
    assert_eq!(first.attach_task("task-a", &a).await.unwrap(), in_a, "asked again");
    scene.serve("from-a", of(&in_a)).await;
    scene.serve("from-b", of(&in_b)).await;
    assert_eq!(get((a.address, 80)), "from-a");
    assert_eq!(get((b.address, 80)), "from-b");
    let fetch = |address| format!("wget -q -O - http://{address}/");
    assert_eq!(scene.say(of(&in_a), &fetch(b.address)).await, "from-b\n");
    assert_eq!(scene.say(of(&in_b), &fetch(a.address)).await, "from-a\n");
    // Containers of one task share loopback and see the interface as it was given.
    assert_eq!(scene.say(of(&in_a), &fetch(Ipv4Addr::LOCALHOST)).await, "from-a\n");
    let seen = scene.say(of(&in_a), "ip addr show eth0; ip route").await;
    assert!(seen.contains("link/ether 0a:ff:00:00:00:0b"), "{seen}");
    assert!(seen.contains("172.31.9.11/20") && seen.contains("default via 172.31.0.1"), "{seen}");
    // The host: what listens there is found by its own addresses.
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let greet = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A socket that is closed with a request unread resets the connection.
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom-host\n").unwrap();
    });
    let uplink = fs::read_to_string(scene.vpc_folder().join("vpc.json")).unwrap();
    let uplink: serde_json::Value = serde_json::from_str(&uplink).unwrap();
    let subnet: runtime::networks::Subnet = uplink["subnet"].as_str().unwrap().parse().unwrap();
    let host = subnet.gateway();
    let said = scene.say(of(&in_a), &format!("wget -q -O - http://{host}:{port}/")).await;
    assert_eq!(said, "from-host\n");
    greet.join().unwrap();
    finish(scene, [first, second], &[a.address, b.address]).await;
}

/// Removes everything and looks for what is left.
async fn finish<const N: usize>(
    scene: Scene,
    networks: [LinuxNetworks; N],
    addresses: &[Ipv4Addr],
) {
    for status in scene.ground.containers.list().await {
        scene.ground.containers.remove(&status.id, false).await.unwrap();
    }
    for instance in &networks {
        for task in instance.task_networks().await {
            instance.detach_task(&task.task).await.unwrap();
        }
        for attachment in instance.list().await {
            instance.detach(&attachment.container).await.unwrap();
        }
        instance.close().await.unwrap();
    }
    assert_eq!(scene.left(addresses), Vec::<String>::new());
    scene.ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_port_is_published_by_each_instance_at_its_own_address() {
    let scene = Scene::new(12).await;
    let (first, second) = (scene.open("one", true).await, scene.open("two", true).await);
    for (instance, word) in [(&first, "one"), (&second, "two")] {
        let id = crate::ground::new_id();
        let ports = [PortMapping { container_port: 80, host_port: 8080, protocol: Protocol::Tcp }];
        let attachment = instance.attach(&id, &ports).await.unwrap();
        let place = Network::Namespace { path: attachment.namespace, address: None };
        scene.serve(word, place).await;
        assert_eq!(get((instance.address().unwrap(), 8080)), word);
    }
    // Host mode is the instance's namespace, where the port is its own.
    let own = first.own().unwrap();
    let host_mode = Network::Namespace { path: own.namespace, address: None };
    let said = scene.say(host_mode, "wget -q -O - http://127.0.0.1:8080/; ip addr show eth0").await;
    assert!(said.contains("one\n") && said.contains(&own.address.to_string()), "{said}");
    finish(scene, [first, second], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn task_networks_are_taken_up_again_and_swept() {
    let scene = Scene::new(13).await;
    let (own, host) = (scene.open("one", true).await, scene.open("two", false).await);
    let (a, b) = (scene.interface(0), scene.interface(1));
    let in_a = own.attach_task("task-a", &a).await.unwrap();
    let in_b = host.attach_task("task-b", &b).await.unwrap();
    let address = own.address();
    scene.serve("from-a", of(&in_a)).await;
    scene.serve("from-b", of(&in_b)).await;
    // Gone without a word, as after kill -9.
    drop((own, host));

    let (own, host) = (scene.open("one", true).await, scene.open("two", false).await);
    assert_eq!(own.task_networks().await, std::slice::from_ref(&in_a));
    assert_eq!(host.task_networks().await, std::slice::from_ref(&in_b));
    assert_eq!(own.address(), address);
    assert_eq!(get((a.address, 80)), "from-a");
    let said = scene.say(of(&in_a), &format!("wget -q -O - http://{}/", b.address)).await;
    assert_eq!(said, "from-b\n");
    // The instance's endpoints are there for its tasks.
    let mut listener = own.listen(([169, 254, 170, 2], 80).into()).await.unwrap();
    let accept = tokio::spawn(async move { listener.accept().await.unwrap().1.ip() });
    let script = "nc 169.254.170.2 80 < /dev/null; true";
    scene.say(of(&in_a), script).await;
    assert_eq!(accept.await.unwrap(), in_a.local);

    drop((own, host));
    for status in scene.ground.containers.list().await {
        scene.ground.containers.remove(&status.id, false).await.unwrap();
    }
    for instance in ["one", "two"] {
        let (node, run) = scene.folders(instance);
        runtime::networks::sweep(&node, &run).await.unwrap();
    }
    assert_eq!(scene.left(&[a.address, b.address]), Vec::<String>::new());
    scene.ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_vpcs_may_use_the_same_addresses() {
    let (one, two) = (Scene::new(14).await, Scene::new(14).await);
    let (first, second) = (one.open("x", false).await, two.open("x", false).await);
    let (a, b) = (one.interface(0), one.interface(1));
    let mut places = Vec::new();
    for (scene, networks, word) in [(&one, &first, "one"), (&two, &second, "two")] {
        let in_a = networks.attach_task("task-a", &a).await.unwrap();
        let in_b = networks.attach_task("task-b", &b).await.unwrap();
        scene.serve(word, of(&in_b)).await;
        places.push(in_a);
    }
    for (scene, place, word) in [(&one, &places[0], "one\n"), (&two, &places[1], "two\n")] {
        let script = format!("wget -q -O - http://{}/", b.address);
        assert_eq!(scene.say(of(place), &script).await, word);
    }
    // The host finds the first, as before the second came.
    assert_eq!(get((b.address, 80)), "one");
    finish(one, [first], &[]).await;
    finish(two, [second], &[a.address, b.address]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_a_vpc_has_no_awsvpc() {
    let scene = Scene::new(15).await;
    let (node, run) = scene.folders("one");
    let options = NetworkOptions { ready: 0, ..NetworkOptions::default() };
    let networks = LinuxNetworks::open(&node, &run, options).await.unwrap();
    let refused = networks.attach_task("task", &scene.interface(0)).await;
    assert!(matches!(refused, Err(NetworkError::NoVpc)), "{refused:?}");
    finish(scene, [networks], &[]).await;
}
