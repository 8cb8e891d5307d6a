"""The bare engine: a case with as many steps as a payment, straight from the SDK of Temporal, behind FastAPI.

The bare engine has the processes of Holdgate: a gateway that takes cases by HTTP, a worker, and a Temporal server. The
steps of a case do nothing, or write as many durable SQL transactions as a payment. So the ratio of Holdgate to the bare
engine is the price of Holdgate.
"""
