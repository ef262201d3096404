; An Earley recogniser that counts the parses of an ambiguous grammar: S -> a | S S. Items are records in lists, states are vectors of such
; lists, and the forest lives until the count is made.
(define-record-type item (make-item rule dot start) item? (rule item-rule) (dot item-dot) (start item-start))
(define-record-type rule (make-rule left right) rule? (left rule-left) (right rule-right))

(define grammar (list (make-rule 's '(a)) (make-rule 's '(s s))))
(define (rules-of symbol) (filter (lambda (r) (eq? (rule-left r) symbol)) grammar))
(define (terminal? symbol) (null? (rules-of symbol)))

(define (same-item? a b)
  (and (eq? (item-rule a) (item-rule b)) (= (item-dot a) (item-dot b)) (= (item-start a) (item-start b))))
(define (has-item? item items)
  (and (pair? items) (or (same-item? item (car items)) (has-item? item (cdr items)))))
(define (next-symbol item)
  (let ((rest (list-tail (rule-right (item-rule item)) (item-dot item)))) (if (null? rest) #f (car rest))))
(define (advance item) (make-item (item-rule item) (+ (item-dot item) 1) (item-start item)))

(define (chart-of input)
  (let* ((n (length input)) (chart (make-vector (+ n 1) '())))
    (define (add! i item) (if (has-item? item (vector-ref chart i)) #f (begin (vector-set! chart i (cons item (vector-ref chart i))) #t)))
    (define (process i item)
      (let ((symbol (next-symbol item)))
        (cond ((not symbol)
               (for-each (lambda (waiting)
                           (if (eq? (next-symbol waiting) (rule-left (item-rule item))) (add-and-process i (advance waiting))))
                         (vector-ref chart (item-start item))))
              ((terminal? symbol)
               (if (and (< i n) (eq? (list-ref input i) symbol)) (add! (+ i 1) (advance item))))
              (else (for-each (lambda (r) (add-and-process i (make-item r 0 i))) (rules-of symbol))))))
    (define (add-and-process i item) (if (add! i item) (process i item)))
    (for-each (lambda (r) (add! 0 (make-item r 0 0))) (rules-of 's))
    (do ((i 0 (+ i 1))) ((> i n) chart)
      (for-each (lambda (item) (process i item)) (vector-ref chart i)))))

; How many trees derive input [from, to): all forests of the right-hand sides, by lists of lists.
(define (count-parses chart n)
  (let ((memo (make-vector (* (+ n 1) (+ n 1)) #f)))
    (define (complete? from to)
      (let loop ((items (vector-ref chart to)))
        (and (pair? items)
             (or (and (not (next-symbol (car items))) (= (item-start (car items)) from)) (loop (cdr items))))))
    (define (count from to)
      (let* ((at (+ (* from (+ n 1)) to)) (known (vector-ref memo at)))
        (or known
            (let ((c (if (not (complete? from to))
                         0
                         (if (= (- to from) 1)
                             1
                             (apply + (map (lambda (middle) (* (count from middle) (count middle to)))
                                           (map (lambda (i) (+ from i 1)) (iota (- to from 1)))))))))
              (vector-set! memo at c)
              c))))
    (count 0 n)))

(define (trees from to)  ; the trees themselves, as lists
  (if (= (- to from) 1)
      '((s a))
      (let loop ((middle (+ from 1)) (all '()))
        (if (= middle to)
            all
            (let ((left (trees from middle)) (right (trees middle to)))
              (loop (+ middle 1)
                    (let outer ((l left) (all all))
                      (if (null? l)
                          all
                          (let inner ((r right) (all all))
                            (if (null? r) (outer (cdr l) all) (inner (cdr r) (cons (list 's (car l) (car r)) all))))))))))))

(define (earley n repetitions)
  (let ((input (make-list n 'a)))
    (let loop ((i 0) (last 0))
      (if (= i repetitions)
          (list last (length (trees 0 12)))
          (loop (+ i 1) (count-parses (chart-of input) n))))))
(write (earley 16 40))
(newline)
