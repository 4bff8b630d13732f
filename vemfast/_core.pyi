from typing import Any

__version__: str

# bind_config.cpp
def build_info() -> dict[str, Any]: ...
def max_threads() -> int: ...
