from ml_collections import ConfigDict

from configs import attention


def get_config():
    config = attention.get_config()
    config.router = ConfigDict({"name": "capped_attention", "cap": 5.0})
    return config
