use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::support::{PATIENCE, Running, address, node, output};

#[test]
fn the_demo_tells_how_a_node_is_lost_and_comes_back() {
    let base = address(11, 1).to_string();
    let victim = format!("lasso@{}", address(11, 2));
    let demo = node(&["--local", "3", "--script", "demo", "--local-base", &base]);
    let (status, out, err) = output(demo);
    assert_eq!(status.code(), Some(0), "{out}\n{err}");
    let mut story = out.lines();
    for chapter in [
        "3 nodes".to_owned(),
        "the cluster is whole: 3 nodes".to_owned(),
        format!("kill -9 {victim}"),
        "all 2 others have noticed".to_owned(),
        format!("{victim} is started again"),
        "the cluster is whole again: 3 nodes".to_owned(),
        "the demo is over".to_owned(),
    ] {
        assert!(
            story.any(|line| line.contains(&chapter)),
            "no `{chapter}` in its place in\n{out}"
        );
    }
    for other in [1, 3] {
        let lost = format!("lasso@{} has lost {victim}", address(11, other));
        assert!(out.contains(&lost), "no `{lost}` in\n{out}");
    }
}

#[test]
fn the_nodes_end_with_their_parent_however_it_ends() {
    for (test, signal) in [(12, "-KILL"), (13, "-INT")] {
        let base = address(test, 1).to_string();
        let mut local = Running::start(node(&["--local", "2", "--local-base", &base]));
        local.line(&["the cluster is whole"]);
        let http = |node| SocketAddr::from((address(test, node), 4000));
        let held = [1, 2].map(|node| TcpStream::connect(http(node)).expect("it answers HTTP"));
        local.signal(signal);
        for mut stream in held {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // A node that is gone closes its connections, in good order or not.
            let read = stream.read(&mut [0]);
            assert!(
                !matches!(&read, Ok(1..)) && !is_timeout(&read),
                "{signal}: {read:?}"
            );
        }
        let (status, text) = local.finish();
        assert_eq!(
            status.success(),
            signal == "-INT",
            "{signal}: {status} {text}"
        );
    }
}

fn is_timeout(read: &std::io::Result<usize>) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(read, Err(error) if [TimedOut, WouldBlock].contains(&error.kind()))
}

#[test]
fn addresses_that_are_taken_are_all_named_before_anything_starts() {
    let taken = [1, 3].map(|node| SocketAddr::from((address(14, node), 9155)));
    let _holders = taken.map(|address| TcpListener::bind(address).unwrap());
    let base = address(14, 1).to_string();
    let (status, _, err) = output(node(&["--local", "3", "--local-base", &base]));
    assert_eq!(status.code(), Some(1), "{err}");
    for address in taken {
        assert!(err.contains(&format!("{address} is taken")), "{err}");
    }
}

#[test]
fn a_variable_that_is_wrong_is_refused_before_anything_starts() {
    let (status, _, err) = output(node(&["--local", "3", "--cluster-tick-time", "0s"]));
    assert_eq!(status.code(), Some(78), "{err}");
    assert!(err.contains("CLUSTER_TICK_TIME"), "{err}");
}
