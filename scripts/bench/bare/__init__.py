"""The bare engine: a case with as many steps as a payment, straight from the SDK of Temporal, behind FastAPI.

It has the processes of Holdgate: a gateway that takes cases by HTTP, a worker, and a Temporal server. Its steps do
nothing, or write as many durable SQL transactions as a payment. So the ratio to it is the price of Holdgate.
"""
