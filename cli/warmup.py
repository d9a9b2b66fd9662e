"""molgiae warmup: kernels compiled before they are needed."""

from __future__ import annotations

from .options import Quiet
from .printing import tell


def warmup(quiet: Quiet = False) -> None:
    """Compile all kernels and keep them, so that no later command has to.

    For images of containers and for clusters: run it once where the package is installed. The kernels are kept in
    NUMBA_CACHE_DIR if that is set, else beside the package, else in the cache folder of the user.

    \b
    molgiae warmup
    """
    from molgiae.commands.warmup import warmup as run

    seconds = run()
    if not quiet:
        tell(f"kernels are compiled ({seconds:.1f} s)")
