"""The conditions under which the judge is simulated: equal versions in rough surroundings, and bad candidates."""

from __future__ import annotations

from modelmesh.schemas.payloads.rules import Rules

from .traffic import Traffic

STANDARD = Rules()
THRESHOLD = Rules(auto_rollback_threshold=0.05)
USERS = 1000
HOUR = 3600

EQUAL: dict[str, tuple[Traffic, Rules]] = {
    "nothing special, 5/s": (Traffic(rate=5, share=0.3), STANDARD),
    "nothing special, 100/s": (Traffic(), STANDARD),
    "nothing special, 2,000/s": (Traffic(rate=2000, seconds=30), STANDARD),
    **{
        f"stalls of 0.5 s every 20 s, share {100 * share:.0f} %": (Traffic(share=share, stall=0.5, rate=200), STANDARD)
        for share in (0.05, 0.3, 0.9)
    },
    "stalls of 2 s every 60 s, share 30 %": (Traffic(share=0.3, stall=2, stall_every=60), STANDARD),
    "stalls of 2 s every 60 s, share 5 %, 10 min": (
        Traffic(share=0.05, stall=2, stall_every=60, seconds=600),
        STANDARD,
    ),
    "stalls of 0.5 s every 20 s, share 30 %, 10 min": (Traffic(share=0.3, stall=0.5, seconds=600), STANDARD),
    "candidate cold for 1.5 s, share 50 %": (Traffic(share=0.5, cold=1.5, rate=200), STANDARD),
    "candidate cold for 3 s, share 50 %": (Traffic(share=0.5, cold=3, rate=200), STANDARD),
    "users with failure rates of their own": (Traffic(users=USERS, user_error=0.03, share=0.2), STANDARD),
    "users with failure rates of their own, 10 min": (
        Traffic(users=USERS, user_error=0.03, share=0.2, seconds=600),
        STANDARD,
    ),
    "users with costs of their own": (Traffic(users=USERS, user_cost=0.7, share=0.2), STANDARD),
    "one user with a fifth of the traffic, slow and failing": (Traffic(users=USERS, heavy=0.2, share=0.2), STANDARD),
    "threshold of 5 %, both fail on 2 %, 20/s": (
        Traffic(stable_fails=0.02, candidate_fails=0.02, rate=20, share=0.1, seconds=600),
        THRESHOLD,
    ),
    "5 % of the requests fail on any version": (Traffic(both_fail=0.05), STANDARD),
    "load falls, both at a fifth of the latency": (Traffic(load_falls=30), STANDARD),
    "stalls, cold candidate and users together": (
        Traffic(users=USERS, user_error=0.01, user_cost=0.5, share=0.3, stall=0.5, cold=3),
        STANDARD,
    ),
    "5/s, one hour": (Traffic(rate=5, share=0.3, seconds=HOUR), STANDARD),
    "2,000/s, stalls of 0.5 s every 20 s": (Traffic(rate=2000, share=0.3, stall=0.5), STANDARD),
    "share 1 %, one hour": (Traffic(share=0.01, seconds=HOUR), STANDARD),
    "share 1 %, both fail on 2 %, one hour": (
        Traffic(share=0.01, stable_fails=0.02, candidate_fails=0.02, seconds=HOUR),
        STANDARD,
    ),
    "share 1 %, stalls of 0.5 s every 20 s, 10 min": (Traffic(share=0.01, stall=0.5, seconds=600), STANDARD),
    "share 30 %, stalls of 0.5 s every 20 s, one hour": (Traffic(share=0.3, stall=0.5, seconds=HOUR), STANDARD),
    "stalls, and users with failure rates of their own, 10 min": (
        Traffic(users=USERS, user_error=0.03, share=0.2, stall=0.5, seconds=600),
        STANDARD,
    ),
    "cold for 3 s, and stalls, share 50 %": (Traffic(share=0.5, cold=3, stall=0.5, rate=200), STANDARD),
    "a day of 10 min: the load goes up and down, share 30 %": (Traffic(share=0.3, day=600, seconds=1200), STANDARD),
    "a day of 10 min, stalls and users": (
        Traffic(share=0.3, day=600, seconds=1200, users=USERS, user_error=0.01, stall=0.5),
        STANDARD,
    ),
}

BAD: dict[str, tuple[Traffic, Rules]] = {
    "fails on 2 %": (Traffic(candidate_fails=0.02, seconds=120), STANDARD),
    "fails on 5 %": (Traffic(candidate_fails=0.05), STANDARD),
    "fails on all": (Traffic(candidate_fails=1.0, seconds=10), STANDARD),
    "fails on 5 %, 1,000 users": (Traffic(candidate_fails=0.05, users=USERS, seconds=180), STANDARD),
    "fails on all, 1,000 users": (Traffic(candidate_fails=1.0, users=USERS, seconds=10), STANDARD),
    "fails on 10 %, and 5 % of the requests on any": (
        Traffic(both_fail=0.05, candidate_fails=0.1, seconds=180),
        STANDARD,
    ),
    "twice as slow, 100/s": (Traffic(slower=2, seconds=120), STANDARD),
    "twice as slow, 200/s": (Traffic(slower=2, rate=200), STANDARD),
    "three times as slow, 100/s": (Traffic(slower=3), STANDARD),
    "three times as slow, 200/s": (Traffic(slower=3, rate=200), STANDARD),
    "five times as slow, 100/s": (Traffic(slower=5), STANDARD),
    "three times as slow from second 30 on": (Traffic(slower=3, slow_from=30), STANDARD),
    "three times as slow, with stalls": (Traffic(slower=3, stall=0.5), STANDARD),
    "three times as slow, 1,000 users": (Traffic(slower=3, users=USERS, rate=200), STANDARD),
    "three times as slow after the load fell": (Traffic(slower=3, slow_from=60, load_falls=30, seconds=120), STANDARD),
    "share 1 %, fails on 5 %": (Traffic(share=0.01, candidate_fails=0.05, seconds=HOUR), STANDARD),
    "share 1 %, three times as slow": (Traffic(share=0.01, slower=3, seconds=HOUR), STANDARD),
    "5/s, share 30 %, fails on 10 %": (Traffic(rate=5, share=0.3, candidate_fails=0.1, seconds=1800), STANDARD),
    "5/s, share 30 %, three times as slow": (Traffic(rate=5, share=0.3, slower=3, seconds=1800), STANDARD),
    "2,000/s, fails on 0.5 %": (Traffic(rate=2000, candidate_fails=0.005, seconds=120), STANDARD),
    "2,000/s, three times as slow": (Traffic(rate=2000, slower=3, seconds=30), STANDARD),
    "three times as slow, stalls and users, share 30 %": (
        Traffic(share=0.3, slower=3, stall=0.5, users=USERS, seconds=600),
        STANDARD,
    ),
    "three times as slow, a day of 10 min": (Traffic(share=0.3, slower=3, day=600, seconds=600), STANDARD),
}
