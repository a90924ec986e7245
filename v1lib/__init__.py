"""Models of mouse V1 from gaze-corrected vision, behaviour and time."""

from v1lib.align import ClockFit, align, estimate_clock
from v1lib.errors import InputError
from v1lib.recording import Recording, open_recording
from v1lib.session import load_session, save_session, summarize_session, validate_session
from v1lib.simulate import bin_truth, load_truth, simulate_recording

__all__ = [
    "ClockFit",
    "InputError",
    "Recording",
    "align",
    "bin_truth",
    "estimate_clock",
    "load_session",
    "load_truth",
    "open_recording",
    "save_session",
    "simulate_recording",
    "summarize_session",
    "validate_session",
]
