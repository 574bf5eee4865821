"""The numbers of Table 6 and of section 4.2: CIFAR-10 classification."""

from __future__ import annotations

from resnets.paper.published.number import Published, lay_out

CIFAR_ERROR = "CIFAR-10 test error"

# "6.43 (6.61±0.16)" is printed for the best, the mean and the standard deviation of five runs, "as in [43]".
TABLE_6 = lay_out(
    "Table 6",
    columns={
        "# layers": ("layers", "weighted layers"),
        "# params": ("parameters", "parameters"),
        "error": ("%", CIFAR_ERROR),
        "mean": ("%", f"{CIFAR_ERROR}, mean of its runs"),
        "std": ("%", f"{CIFAR_ERROR}, standard deviation of its runs"),
    },
    rows={
        "Maxout": (None, None, 9.38, None, None),
        "NIN": (None, None, 8.81, None, None),
        "DSN": (None, None, 8.22, None, None),
        "FitNet, 19 layers": (19, 2.5e6, 8.39, None, None),
        "Highway, 19 layers": (19, 2.3e6, 7.54, 7.72, 0.16),
        "Highway, 32 layers": (32, 1.25e6, 8.80, None, None),
        "ResNet, 20 layers": (20, 0.27e6, 8.75, None, None),
        "ResNet, 32 layers": (32, 0.46e6, 7.51, None, None),
        "ResNet, 44 layers": (44, 0.66e6, 7.17, None, None),
        "ResNet, 56 layers": (56, 0.85e6, 6.97, None, None),
        "ResNet, 110 layers": (110, 1.7e6, 6.43, 6.61, 0.16),
        "ResNet, 1202 layers": (1202, 19.4e6, 7.93, None, None),
    },
    notes={
        ("Highway, 19 layers", "error"): "the best run",
        ("ResNet, 110 layers", "error"): "best of 5 runs",
        ("ResNet, 110 layers", "mean"): "5 runs",
        ("ResNet, 110 layers", "std"): "5 runs",
    },
)

SECTION_4_2 = (Published(0.1, "%", "section 4.2", "ResNet-1202", "training", "CIFAR-10 training error", relation="<"),)

ALL = (*TABLE_6, *SECTION_4_2)
