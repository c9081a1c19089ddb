"""From a frozen plan to finished shards: plan, worker, executors, ledger."""
