-- Forget what is collected of a study; 0 when nothing is, or more than was looked at.
-- ARGV: now | study | version that was looked at ('' = whatever came since)
local study = ARGV[2]
if ARGV[3] ~= '' and redis.call('HGET', inbox('study', study), 'version') ~= ARGV[3] then return 0 end
return forget_study(study) and 1 or 0
