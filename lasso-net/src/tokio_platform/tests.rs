use socket2::SockRef;

use super::*;

#[tokio::test]
async fn every_connection_asks_the_kernel_to_hold_little_that_was_not_sent() {
    let platform = TokioPlatform::new(None);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listener = platform.bind(any).await.expect("a free port");
    let address = Listener::local_addr(&listener).expect("it is bound");
    let dialled = platform.connect(address).await.expect("it listens");
    let (accepted, _) = Listener::accept(&mut listener).await.expect("one dialled");
    for stream in [&dialled, &accepted] {
        let unsent = SockRef::from(stream).tcp_notsent_lowat();
        assert_eq!(unsent.expect("Linux knows the option"), UNSENT_BYTES);
        assert!(stream.nodelay().expect("TCP knows the option"));
    }
}
