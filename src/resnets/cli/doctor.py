"""`resnets doctor`."""

from __future__ import annotations

from resnets.cli import options


def doctor(json: options.Json = False) -> None:
    """Show versions, devices, compiled kernels, extras and the cache: what a bug report needs."""
    from resnets.errors import printable
    from resnets.files import to_json
    from resnets.runtime.doctor import doctor as diagnose

    found = diagnose()
    if json:
        print(to_json(found, indent=2))
        return
    for section, facts in found.items():
        if facts:
            print(section)
        for name, fact in facts.items():
            print(printable(f"  {name:<{max(map(len, facts))}}  {fact}"))
