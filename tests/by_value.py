"""Models pickled with their class, since a model's process cannot import the tests' modules."""

import sys

import cloudpickle


def by_value(model):
    """Return the model pickled with its class, as an attacker's would be."""
    module = sys.modules[type(model).__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(model)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
