"""Threads that do one piece of work after the other together with the one that leads them.

They wait a moment in a loop, for the next piece mostly comes at once, and then give up their core: a busy machine
must not make two threads slower than one.
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
        pthread_mutex_t lock;
        pthread_cond_t begin, end;
        unsigned long piece;    /* counts pieces of work */
        int busy;               /* members that have not finished this one */
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

    enum { SP_TURNS = 4000 };

    static void *sp_work(void *argument) {
        sp_member *me = (sp_member *)argument;
        sp_team *team = me->team;
        unsigned long done = 0;
        for (;;) {
            int turn = 0;
            while (__atomic_load_n(&team->piece, __ATOMIC_ACQUIRE) == done && turn++ < SP_TURNS)
                SP_PAUSE();
            if (turn > SP_TURNS) {
                pthread_mutex_lock(&team->lock);
                while (__atomic_load_n(&team->piece, __ATOMIC_ACQUIRE) == done)
                    pthread_cond_wait(&team->begin, &team->lock);
                pthread_mutex_unlock(&team->lock);
            }
            done++;
            if (team->stop)
                return NULL;
            team->job(team->shared, me->number);
            if (__atomic_sub_fetch(&team->busy, 1, __ATOMIC_ACQ_REL) == 0) {
                pthread_mutex_lock(&team->lock);
                pthread_cond_signal(&team->end);
                pthread_mutex_unlock(&team->lock);
            }
        }
    }

    static void sp_hand_out(sp_team *team, sp_job job, void *shared) {
        pthread_mutex_lock(&team->lock);
        team->job = job;
        team->shared = shared;
        __atomic_store_n(&team->busy, team->n - 1, __ATOMIC_RELEASE);
        __atomic_add_fetch(&team->piece, 1, __ATOMIC_ACQ_REL);
        pthread_cond_broadcast(&team->begin);
        pthread_mutex_unlock(&team->lock);
    }

    /* n - 1 threads beside this one; fewer if the system gives no more. */
    static int sp_team_begin(sp_team *team, int n) {
        sigset_t all, before;
        team->piece = 0;
        team->busy = team->stop = 0;
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
            if (pthread_create(&member->thread, NULL, sp_work, member))
                break;
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return 1;
    }

    /* One piece of work: all members have done it when this returns. */
    static void sp_team_do(sp_team *team, sp_job job, void *shared) {
        int turn = 0;
        if (team->n == 1) {
            job(shared, 0);
            return;
        }
        sp_hand_out(team, job, shared);
        job(shared, 0);
        while (__atomic_load_n(&team->busy, __ATOMIC_ACQUIRE) && turn++ < SP_TURNS)
            SP_PAUSE();
        if (__atomic_load_n(&team->busy, __ATOMIC_ACQUIRE)) {
            pthread_mutex_lock(&team->lock);
            while (__atomic_load_n(&team->busy, __ATOMIC_ACQUIRE))
                pthread_cond_wait(&team->end, &team->lock);
            pthread_mutex_unlock(&team->lock);
        }
    }

    static void sp_team_end(sp_team *team) {
        int k;
        if (!team->members)
            return;
        team->stop = 1;
        sp_hand_out(team, NULL, NULL);
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
        return __atomic_fetch_add(next, step, __ATOMIC_ACQ_REL);
    }
    """
    ctypedef void (*Job "sp_job")(void *shared, int member) noexcept nogil
    ctypedef struct Team "sp_team":
        int n
    bint team_begin "sp_team_begin"(Team *team, int n) noexcept nogil
    void team_do "sp_team_do"(Team *team, Job job, void *shared) noexcept nogil
    void team_end "sp_team_end"(Team *team) noexcept nogil
    long long take_next "sp_next"(long long *next, long long step) noexcept nogil
