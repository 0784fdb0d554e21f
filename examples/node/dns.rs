//! A small DNS server, to try out nodes that are started by hand.

use std::process::ExitCode;

use lasso::responder::Responder;

use crate::cli::DnsOptions;
use crate::failure::{self, Failure};
use crate::print;
use crate::signals::Signals;

/// Answers until it is asked to stop.
pub(crate) fn run(options: DnsOptions) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    failure::exit(match runtime {
        Ok(runtime) => runtime.block_on(answer(options)),
        Err(error) => Err(Failure::new(format!("no runtime: {error}"))),
    })
}

async fn answer(options: DnsOptions) -> Result<(), Failure> {
    let DnsOptions { listen, names } = options;
    let mut signals =
        Signals::listen().map_err(|error| Failure::new(format!("signals: {error}")))?;
    let responder = Responder::bind(listen)
        .await
        .map_err(|error| Failure::new(format!("cannot answer DNS on {listen}: {error}")))?;
    for (name, addresses) in names {
        responder.set(&name, addresses);
    }
    let server = responder.local_addr();
    print::out(&format!("CLUSTER_DNS_SERVER={server}\n"))?;
    signals.next().await;
    Ok(())
}
