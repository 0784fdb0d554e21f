//! The methods that figures tell apart.
//!
//! A method's name comes from a client, and each name that figures tell apart costs memory on every
//! node. So figures know the usual methods by name, and count all others as [`OTHER`]; whoever is asked
//! still gets the name that the client gave.

use lasso::Label;

/// What figures call a method that is not usual.
pub(crate) const OTHER: &str = "other";

/// True for a method that figures tell apart.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.binary_search(&name).is_ok()
}

/// The name under which a method is counted.
pub(crate) fn counted_as(name: &str) -> &str {
    if is_known(name) { name } else { OTHER }
}

/// The same as a label.
pub(crate) fn label(name: &Label) -> Label {
    if is_known(name.as_str()) {
        return name.clone();
    }
    Label::new("method", OTHER).expect("a word is a label")
}

/// The read methods of Ethereum's execution API, and the usual ones beside them; sorted.
const KNOWN: [&str; 40] = [
    "debug_traceBlockByHash",
    "debug_traceBlockByNumber",
    "debug_traceTransaction",
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_getUncleByBlockHashAndIndex",
    "eth_maxPriorityFeePerGas",
    "eth_newBlockFilter",
    "eth_newFilter",
    "eth_sendRawTransaction",
    "eth_syncing",
    "eth_uninstallFilter",
    "net_listening",
    "net_version",
    "trace_block",
    "web3_clientVersion",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_as_the_search_needs_it() {
        assert!(KNOWN.is_sorted());
        assert!(KNOWN.iter().all(|name| counted_as(name) == *name));
    }

    #[test]
    fn names_that_are_made_up_are_all_counted_as_one() {
        assert_eq!(counted_as("eth_x1"), OTHER);
        assert_eq!(counted_as(""), OTHER);
    }
}
