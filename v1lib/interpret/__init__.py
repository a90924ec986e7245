"""What a recording or a fitted model says about its units.

What units look at: :mod:`~v1lib.interpret.receptive_fields` (regression), :mod:`~v1lib.interpret.stimuli`
(the stimuli that a model's units answer most and least; the paper's recipe in
:mod:`~v1lib.interpret.paper_stimuli`) and :mod:`~v1lib.interpret.stimulus_match`, which compares both with
planted fields. What behaviour does to them: :mod:`~v1lib.interpret.saliency` (what a model makes of it; the
paper's in :mod:`~v1lib.interpret.paper_saliency`), :mod:`~v1lib.interpret.selectivity` (which units depend on
it, at a stated error rate) and :mod:`~v1lib.interpret.dependence_kind` (as a gain or an offset).
:mod:`~v1lib.interpret.probes` shows gratings to a fitted model, :mod:`~v1lib.interpret.spot_probes` flashed
spots and apertures of many sizes, :mod:`~v1lib.interpret.motion_probes` plaids and moving bars;
:mod:`~v1lib.interpret.inside` shows its stages, :mod:`~v1lib.interpret.representation` what can be read
from its layers and their eigenspectra (:mod:`~v1lib.interpret.spectrum`).
"""
