namespace Drover.Trainer.Engine;

/// <summary>
/// Where a stage of a run begins, in steps and rows of the whole run: steps count through all stages, but rows are the stage's own, and the learning rate
/// and the optimizer's count of updates may begin anew. A run without stages begins with zeros.
/// </summary>
/// <param name="Step">Steps of the run before the stage.</param>
/// <param name="Row">Rows that earlier stages took of the same dataset.</param>
/// <param name="MomentsStep">Steps of the run before the moments were last zero.</param>
/// <param name="ScheduleStep">Steps of the run before the schedule's first.</param>
public readonly record struct StageStart(long Step, long Row, long MomentsStep, long ScheduleStep);
