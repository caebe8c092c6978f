"""Figures that others published, with their protocol: to be read beside ours, not against them."""

from __future__ import annotations

from typing import Any

_TSB = "TSB-AD leaderboard, mean of its own series; VUS-PR; some fit the whole series"
_LEADERBOARD = "first 400 rows, threshold: training quantile x a factor chosen by hand"
_QUO = "train file, threshold chosen by the test labels (oracle), best of 3 normalisations"

PUBLISHED: tuple[dict[str, Any], ...] = (
    {"set": "SKAB", "method": "Conv-AE", "figure": "F1 .78, FAR 13.6 %, MAR 28.0 %"}
    | {"protocol": _LEADERBOARD, "looks ahead": "58 rows"},
    {"set": "SKAB", "method": "Conv-AE, made causal", "figure": "F1 .711"}
    | {"protocol": _LEADERBOARD, "looks ahead": "no"},
    {"set": "SKAB", "method": "MSET, made causal", "figure": "F1 .765"}
    | {"protocol": _LEADERBOARD, "looks ahead": "no"},
    {"set": "SKAB", "method": "T2 + Q (PCA)", "figure": "F1 .76, FAR 26.6 %, MAR 24.9 %"}
    | {"protocol": _LEADERBOARD, "looks ahead": "not stated"},
    {"set": "SKAB", "method": "isolation forest", "figure": "F1 .29"}
    | {"protocol": _LEADERBOARD, "looks ahead": "not stated"},
    {"set": "SMD, first rows", "method": "PCA / AE / CNN / LSTMAD / KMeansAD (20)"}
    | {"figure": "VUS-PR .364 / .301 / .353 / .325 / .358", "protocol": _TSB}
    | {"looks ahead": "PCA, KMeansAD fit on the test rows"},
    {"set": "NASA, first rows", "method": "PCA / AE / CNN / LSTMAD / KMeansAD, MSL (14)"}
    | {"figure": "VUS-PR .149 / .219 / .352 / .217 / .435", "protocol": _TSB}
    | {"looks ahead": "PCA, KMeansAD fit on the test rows"},
    {"set": "NASA, first rows", "method": "PCA / AE / CNN / LSTMAD / KMeansAD, SMAP (25)"}
    | {"figure": "VUS-PR .093 / .129 / .191 / .163 / .380", "protocol": _TSB}
    | {"looks ahead": "PCA, KMeansAD fit on the test rows"},
    {"set": "NASA, first rows", "method": "CNN, best causal one (43 series with SMD)"}
    | {"figure": "VUS-PR .269", "protocol": _TSB, "looks ahead": "no"},
    {"set": "NASA, first rows", "method": "CHARM, best of any kind (43 series with SMD)"}
    | {"figure": "VUS-PR .611", "protocol": _TSB, "looks ahead": "127 rows"},
    {"set": "TSB-AD-M", "method": "CNN, OmniAnomaly, PCA, LSTMAD (180 series)"}
    | {"figure": "VUS-PR .31", "protocol": _TSB, "looks ahead": "PCA fits on the test rows"},
    {"set": "TSB-AD-U", "method": "Sub-PCA (350 series)", "figure": "VUS-PR .42"}
    | {"protocol": _TSB, "looks ahead": "fits on the test rows"},
    {"set": "SMD, train file", "method": "PCA error / 1-NN (QuoVadisTAD, all machines)"}
    | {"figure": "best F1 .572 / .463", "protocol": _QUO, "looks ahead": "test scaling in part"},
    {"set": "SWaT", "method": "PCA error / 1-NN / GCN-LSTM", "figure": "best F1 .833 / .782 / .829"}
    | {"protocol": _QUO, "looks ahead": "test scaling in part"},
    {"set": "WADI", "method": "PCA error / 1-NN (112 channels)", "figure": "best F1 .655 / .568"}
    | {"protocol": _QUO, "looks ahead": "test scaling in part"},
    {"set": "PSM", "method": "AE (TSB-AD-M, 1 series)", "figure": "VUS-PR .280"}
    | {"protocol": _TSB, "looks ahead": "no"},
)


def beside(sets: set[str]) -> list[dict[str, Any]]:
    """The figures for these sets."""
    return [one for one in PUBLISHED if one["set"] in sets]
