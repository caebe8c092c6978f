"""Settings: what there is (`sections`), and how file, environment and flags make it (`loading`)."""

from schemas.settings.input import InputSettings
from schemas.settings.loading import InvalidSettingsError, load_settings
from schemas.settings.sections import (
    Guarantee,
    IncidentMode,
    KafkaSettings,
    LogSettings,
    ProcessingSettings,
    RaySettings,
    RegistrySettings,
    RepartitionSettings,
    Settings,
    StreamSettings,
    TopicSettings,
    WorkerSettings,
)

__all__ = [
    "Guarantee",
    "IncidentMode",
    "InputSettings",
    "InvalidSettingsError",
    "KafkaSettings",
    "LogSettings",
    "ProcessingSettings",
    "RaySettings",
    "RegistrySettings",
    "RepartitionSettings",
    "Settings",
    "StreamSettings",
    "TopicSettings",
    "WorkerSettings",
    "load_settings",
]
