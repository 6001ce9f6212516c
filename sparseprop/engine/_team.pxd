"""Threads that help the one that leads them with one piece of work after the other.

A piece is open while it lasts, and whoever comes by takes part in it: the leader waits for those that are in it when
nothing is left to do, and never for one that has no core. So a busy machine does not make two threads slower than one.
Between pieces helpers wait a moment in a loop, for the next one mostly comes at once, and then sleep.
"""

cdef extern from *:
    """
    #include <pthread.h>
    #include <signal.h>
    #include <stdlib.h>

    #if defined(__x86_64__) || defined(__i386__)
    #define SP_PAUSE() __builtin_ia32_pause()
    #else
    #define SP_PAUSE() ((void)0)
    #endif

    typedef void (*sp_job)(void *shared, int member);

    typedef struct {
        pthread_mutex_t lock;   /* for those that sleep */
        pthread_cond_t begin, end;
        unsigned long piece;    /* counts pieces of work */
        int open;               /* whether this one is to be joined */
        int inside;             /* helpers that are in it, or look whether it is open */
        int asleep;
        int n, stop;
        sp_job job;
        void *shared;
        struct sp_member *members;
    } sp_team;

    typedef struct sp_member {
        sp_team *team;
        pthread_t thread;
        int number;
    } sp_member;

    enum { SP_TURNS = 1000 };

    #define SP_LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
    #define SP_STORE(x, value) __atomic_store_n(&(x), value, __ATOMIC_SEQ_CST)
    #define SP_ADD(x, value) __atomic_add_fetch(&(x), value, __ATOMIC_SEQ_CST)

    static void *sp_help(void *argument) {
        sp_member *me = (sp_member *)argument;
        sp_team *team = me->team;
        unsigned long seen = 0;
        for (;;) {
            int turn = 0;
            while (SP_LOAD(team->piece) == seen && turn++ < SP_TURNS)
                SP_PAUSE();
            if (SP_LOAD(team->piece) == seen) {
                pthread_mutex_lock(&team->lock);
                SP_ADD(team->asleep, 1);
                while (SP_LOAD(team->piece) == seen)
                    pthread_cond_wait(&team->begin, &team->lock);
                SP_ADD(team->asleep, -1);
                pthread_mutex_unlock(&team->lock);
            }
            seen = SP_LOAD(team->piece);
            if (SP_LOAD(team->stop))
                return NULL;
            SP_ADD(team->inside, 1);
            if (SP_LOAD(team->open))
                team->job(team->shared, me->number);
            if (SP_ADD(team->inside, -1) == 0 && !SP_LOAD(team->open)) {
                pthread_mutex_lock(&team->lock);
                pthread_cond_signal(&team->end);
                pthread_mutex_unlock(&team->lock);
            }
        }
    }

    static void sp_announce(sp_team *team) {
        SP_ADD(team->piece, 1);
        if (SP_LOAD(team->asleep)) {
            pthread_mutex_lock(&team->lock);
            pthread_cond_broadcast(&team->begin);
            pthread_mutex_unlock(&team->lock);
        }
    }

    /* n - 1 helpers; fewer if the system gives no more. False if there is no memory. */
    static int sp_team_begin(sp_team *team, int n) {
        sigset_t all, before;
        team->piece = 0;
        team->open = team->inside = team->asleep = team->stop = 0;
        team->n = 1;
        team->members = NULL;
        if (n < 2)
            return 1;
        team->members = (sp_member *)malloc((size_t)n * sizeof(sp_member));
        if (!team->members)
            return 0;
        pthread_mutex_init(&team->lock, NULL);
        pthread_cond_init(&team->begin, NULL);
        pthread_cond_init(&team->end, NULL);
        /* Signals are for the threads of the interpreter. */
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        for (; team->n < n; team->n++) {
            sp_member *member = &team->members[team->n];
            member->team = team;
            member->number = team->n;
            if (pthread_create(&member->thread, NULL, sp_help, member))
                break;
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return 1;
    }

    /* One piece of work; the job of each member returns when there is nothing left for it. */
    static void sp_team_do(sp_team *team, sp_job job, void *shared) {
        int turn = 0;
        if (team->n == 1) {
            job(shared, 0);
            return;
        }
        team->job = job;
        team->shared = shared;
        SP_STORE(team->open, 1);
        sp_announce(team);
        job(shared, 0);
        SP_STORE(team->open, 0);
        while (SP_LOAD(team->inside) && turn++ < SP_TURNS)
            SP_PAUSE();
        if (SP_LOAD(team->inside)) {
            pthread_mutex_lock(&team->lock);
            while (SP_LOAD(team->inside))
                pthread_cond_wait(&team->end, &team->lock);
            pthread_mutex_unlock(&team->lock);
        }
    }

    static void sp_team_end(sp_team *team) {
        int k;
        if (!team->members)
            return;
        SP_STORE(team->stop, 1);
        sp_announce(team);
        for (k = 1; k < team->n; k++)
            pthread_join(team->members[k].thread, NULL);
        pthread_mutex_destroy(&team->lock);
        pthread_cond_destroy(&team->begin);
        pthread_cond_destroy(&team->end);
        free(team->members);
        team->members = NULL;
    }

    /* The next of several things of which each is for one member. */
    static long long sp_next(long long *next, long long step) {
        return __atomic_fetch_add(next, step, __ATOMIC_SEQ_CST);
    }
    """
    ctypedef void (*Job "sp_job")(void *shared, int member) noexcept nogil
    ctypedef struct Team "sp_team":
        int n
    bint team_begin "sp_team_begin"(Team *team, int n) noexcept nogil
    void team_do "sp_team_do"(Team *team, Job job, void *shared) noexcept nogil
    void team_end "sp_team_end"(Team *team) noexcept nogil
    long long take_next "sp_next"(long long *next, long long step) noexcept nogil
