"""Models of mouse V1 from gaze-corrected vision, behaviour and time."""

from v1lib.align import ClockFit, ClockJump, align, clock_residuals, estimate_clock
from v1lib.ceiling import noise_ceiling, poisson_ceiling
from v1lib.errors import InputError
from v1lib.fit import FitConfig, Run, adopt, fit, predict
from v1lib.interpret.probes import probe
from v1lib.interpret.saliency import behavior_saliency
from v1lib.interpret.selectivity import classify_selectivity
from v1lib.interpret.stimuli import synthesize_stimuli
from v1lib.models import encoding_model, field_model, joint_model
from v1lib.models.encoding import EncodingModel
from v1lib.models.field import FieldModel
from v1lib.models.joint import JointModel
from v1lib.models.paper import load_paper_checkpoint
from v1lib.nulls import circular_shift_null
from v1lib.readers import open_session
from v1lib.readers.osf_write import write_osf_archive
from v1lib.recording import Recording, open_recording
from v1lib.score import paired_difference, paper_score, score
from v1lib.session import save_session, summarize_session, validate_session
from v1lib.simulate import bin_truth, load_truth, simulate_recording
from v1lib.splits import Splits, split
from v1lib.store import load_run, save_run
from v1lib.sweep import load_results, sweep

__all__ = [
    "ClockFit",
    "ClockJump",
    "EncodingModel",
    "FieldModel",
    "FitConfig",
    "InputError",
    "JointModel",
    "Recording",
    "Run",
    "Splits",
    "adopt",
    "align",
    "behavior_saliency",
    "bin_truth",
    "circular_shift_null",
    "classify_selectivity",
    "clock_residuals",
    "encoding_model",
    "estimate_clock",
    "field_model",
    "fit",
    "joint_model",
    "load_paper_checkpoint",
    "load_results",
    "load_run",
    "load_truth",
    "noise_ceiling",
    "open_recording",
    "open_session",
    "paired_difference",
    "paper_score",
    "poisson_ceiling",
    "predict",
    "probe",
    "save_run",
    "save_session",
    "score",
    "simulate_recording",
    "split",
    "summarize_session",
    "sweep",
    "synthesize_stimuli",
    "validate_session",
    "write_osf_archive",
]
